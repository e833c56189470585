/** Ends a run that moves nothing although it has something to move. An idle source is no reason. */
import { TributaryError } from '@tributary/errors/error';

export interface Watchdog {
  /** Something moved. */
  progress(): void;
  stop(): void;
}

/** `onStuck` is called once, when `busy` was true and nothing progressed for `noProgressMs`. */
export const startWatchdog = (options: {
  readonly noProgressMs: number;
  /** What is being waited for, as part of a sentence; null while there is nothing to move. */
  readonly busy: () => string | null;
  readonly onStuck: (error: TributaryError) => void;
}): Watchdog => {
  let last = performance.now();
  const timer = setInterval(
    () => {
      const waitingFor = options.busy();
      const now = performance.now();
      if (waitingFor === null) last = now;
      else if (now - last >= options.noProgressMs) {
        clearInterval(timer);
        options.onStuck(new TributaryError('NO_PROGRESS', `Nothing moved for ${Math.round((now - last) / 1000)} s while waiting for ${waitingFor}.`));
      }
    },
    Math.max(10, options.noProgressMs / 10),
  );
  timer.unref();
  return {
    progress: () => {
      last = performance.now();
    },
    stop: () => clearInterval(timer),
  };
};
