/** Retries what may pass by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isKind } from '@tributary/errors/error';

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Give up after so many tries; Infinity: never. */
  readonly tries: number;
}

/** Full jitter, doubling: attempt 0 waits up to `firstMs`. */
export const backoffMs = (backoff: Pick<Backoff, 'firstMs' | 'maxMs'>, attempt: number): number =>
  Math.round(Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt, 20)) * (0.5 + Math.random() / 2));

/** Runs `run` again while it throws a transient error. Other errors, and the last one, pass through. */
export const retryTransient = async <T>(run: () => Promise<T>, backoff: Backoff, signal?: AbortSignal): Promise<T> => {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      if (!isKind(error, 'transient') || attempt + 1 >= backoff.tries) throw error;
      await sleep(backoffMs(backoff, attempt), undefined, signal === undefined ? {} : { signal });
    }
  }
};
