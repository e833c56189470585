import { setTimeout as sleep } from 'node:timers/promises';
import { isTransient } from './errors.ts';

interface RetryOptions {
  /** Give up when this much time has passed since the first failure, in milliseconds. */
  readonly forMs: number;
  /** Run between two attempts, such as refreshing metadata; its own failure counts as one more failed attempt. */
  readonly between?: () => Promise<void>;
  readonly retriable?: (error: unknown) => boolean;
  readonly pauseMs?: (attempt: number, error: unknown) => number;
}

/** Delay before attempt `attempt` (from 1), doubling from 50 ms to one second, spread by half. */
export const backoffMs = (attempt: number): number => Math.min(50 * 2 ** (attempt - 1), 1000) * (0.75 + Math.random() / 2);

/** Runs `operation` until it succeeds, fails for good, or has failed transiently for `forMs`; then throws its last error. */
export const retrying = async <T>(operation: () => Promise<T>, options: RetryOptions): Promise<T> => {
  const retriable = options.retriable ?? isTransient;
  const pauseMs = options.pauseMs ?? backoffMs;
  let failingSince = 0;
  for (let attempt = 1; ; attempt++) {
    let pause: number;
    try {
      if (attempt > 1) await options.between?.();
      return await operation();
    } catch (error) {
      const now = Date.now();
      if (failingSince === 0) failingSince = now;
      if (!retriable(error) || now - failingSince >= options.forMs) throw error;
      pause = pauseMs(attempt, error);
    }
    await sleep(pause);
  }
};
