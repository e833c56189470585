/** Starts a service and stops it gracefully, in the reverse order of what it started. */
import { asTributaryError } from '@tributary/errors/error';
import type { Logger } from './logger.ts';

export interface Lifecycle {
  /** Runs at stop, last added first. */
  onStop(name: string, stop: () => Promise<void>): void;
}

const stopLimitMs = 25_000;

/**
 * Runs `start`; on SIGTERM or SIGINT runs the stops and ends the process: 0, or 1 when one failed or took longer than 25 s.
 * A failed start is one log line that says what to do, and exit code 1. The parent's death counts as SIGTERM when it started us with IPC.
 */
export const runService = async (
  log: Logger,
  start: (lifecycle: Lifecycle) => Promise<void>,
  /** `tolerates`: asked about each uncaught exception and unhandled rejection; true: go on. Without it the process ends. */
  options: { readonly tolerates?: (error: unknown) => boolean } = {},
): Promise<void> => {
  const stops: { name: string; stop: () => Promise<void> }[] = [];
  let stopping: Promise<never> | null = null;

  const stop = (reason: string, code: number): Promise<never> =>
    (stopping ??= (async () => {
      log.info({ reason }, 'Stopping');
      const limit = setTimeout(() => {
        log.error('Stopping took too long; ending now');
        process.exit(1);
      }, stopLimitMs);
      let exitCode = code;
      for (const { name, stop: run } of stops.toReversed()) {
        await run().catch((error: unknown) => {
          log.error({ err: error, part: name }, 'A part did not stop cleanly');
          exitCode = 1;
        });
      }
      clearTimeout(limit);
      log.info('Stopped');
      process.exit(exitCode);
    })());

  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal, 0));
  process.on('disconnect', () => void stop('parent process ended', 0));
  process.on('unhandledRejection', (error) => {
    if (options.tolerates?.(error) === true) return;
    log.fatal({ err: error }, 'Unhandled rejection');
    void stop('unhandled rejection', 1);
  });
  process.on('uncaughtException', (error) => {
    if (options.tolerates?.(error) === true) return;
    log.fatal({ err: error }, 'Uncaught exception');
    void stop('uncaught exception', 1);
  });

  try {
    await start({ onStop: (name, run) => void stops.push({ name, stop: run }) });
  } catch (error) {
    const known = asTributaryError(error);
    log.fatal({ err: error, code: known.code, help: known.help }, `Could not start: ${known.message}`);
    await stop('start failed', 1);
  }
};
