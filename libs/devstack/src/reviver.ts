// Starts a process again that ended without being told to, with longer and longer pauses.
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '@tributary/errors/error';

export interface ReviverOptions {
  /** As shown to people. */
  readonly label: string;
  readonly logFile: string;
  readonly log: (line: string) => void;
  readonly start: (signal: AbortSignal) => Promise<void>;
  /** Gives up, a start that goes on as well. */
  readonly signal: AbortSignal;
}

export interface Reviver {
  /** The process was started. A crash before this was the starter's to report. */
  readonly arm: () => void;
  readonly crashed: (outcome: string) => void;
  /** Resolves when no start goes on. Abort `signal` before. */
  readonly settled: () => Promise<void>;
}

const firstPauseMs = 500;
const longestPauseMs = 30_000;
/** What ran for so long has recovered. */
const steadyMs = 60_000;

export const createReviver = ({ label, logFile, log, start, signal }: ReviverOptions): Reviver => {
  let armed = false;
  let startedAt = 0;
  let pauseMs = firstPauseMs;
  /** How it ended, while nothing has been done about it. */
  let outcome: string | undefined;
  let work: Promise<void> | undefined;

  /** The label and the log are said anyway. */
  const reasonOf = (error: unknown): string => (messageOf(error).split('\n')[0] ?? '').replace(`${label} `, '').replace(/\. Its log is .*/, '');

  const revive = async (): Promise<void> => {
    if (Date.now() - startedAt > steadyMs) pauseMs = firstPauseMs;
    while (outcome !== undefined && !signal.aborted) {
      log(`${label}: ${outcome}; starting it again in ${pauseMs / 1000} s. Its log is ${logFile}`);
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      outcome = undefined;
      try {
        startedAt = Date.now();
        await start(signal);
        // It may have ended since it was ready.
        if (outcome === undefined) log(`${label}: runs again`);
      } catch (error) {
        outcome = reasonOf(error);
      }
    }
  };

  const look = (): void => {
    if (!armed || outcome === undefined || work !== undefined) return;
    work = revive().finally(() => {
      work = undefined;
    });
  };

  return {
    arm: () => {
      armed = true;
      startedAt = Date.now();
      look();
    },
    crashed: (how) => {
      outcome = how;
      look();
    },
    settled: async () => {
      await work;
    },
  };
};
