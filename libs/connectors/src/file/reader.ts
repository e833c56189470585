/** Reads a set of files, round after round: what is new in known files, then files that have appeared. One file is open at a time. */
import { open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { confine } from '@tributary/connector-sdk/file-root';
import type { OpenSourceContext, ReadOptions, Reader } from '@tributary/connector-sdk/source';
import type { Origin, Position, RejectedRow, RowBatch } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { isGlob, listFiles } from './list-files.ts';
import { layoutOf } from './file-format.ts';
import { isCutOff, openRecords, type FileRecords } from './file-records.ts';
import type { FileSourceConfig } from './config.ts';
import { fingerprint, parseProgress, progressText, untouched, type Progress } from './position.ts';
import { sliceOf } from './slices.ts';

/** How long `next` waits at most before it answers `idle`, in milliseconds. */
const idleAfter = 1000;

type ReadContext = Pick<OpenSourceContext, 'log' | 'slice' | 'slices' | 'mode'>;

/** What the file system says, as an error that names the file. */
const explain = (error: unknown, path: string): TributaryError => {
  if (error instanceof TributaryError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === 'EACCES' || code === 'EPERM'
    ? new TributaryError('PERMISSION_MISSING', `File "${path}" may not be read by Tributary's user.`, { cause: error })
    : new TributaryError('SOURCE_FAILED', `Reading file "${path}" failed: ${messageOf(error)}.`, { cause: error });
};

const isGone = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** What of a file is still to be read: its progress so far, `null` for nothing. A file that was replaced starts again. */
const unread = async (absolute: string, path: string, known: Progress | undefined, compressed: boolean, log: ReadContext['log']): Promise<Progress | null> => {
  const handle = await open(absolute, 'r');
  try {
    const { size } = await handle.stat();
    if (known === undefined) return untouched(0);
    if (size < known.of || (await fingerprint(handle, known.of)) !== known.sha) {
      log.warn(`File "${path}" was truncated or replaced since it was read; it is read from its start as a new file.`, { path, read: known.read, size });
      return untouched(known.generation + 1);
    }
    const allRead = compressed ? known.done && known.of === size : known.read === size;
    return allRead ? null : known;
  } finally {
    await handle.close();
  }
};

export const createReader = (
  root: string,
  pattern: string,
  config: FileSourceConfig,
  from: Position,
  options: ReadOptions,
  context: ReadContext,
): Reader & { close(): Promise<void> } => {
  const { log, slice, slices, mode } = context;
  const progress = new Map(
    Object.entries(from)
      .filter(([path]) => sliceOf(path, slices) === slice)
      .map(([path, text]) => [path, parseProgress(path, text)]),
  );
  const position: Record<string, string> = Object.fromEntries([...progress].map(([path, at]) => [path, progressText(at)]));
  /** Size and time of each file when it was last looked at, so that unchanged files cost one stat. */
  const seen = new Map<string, string>();
  let queue: string[] = [];
  let current: { readonly path: string; readonly records: FileRecords } | null = null;
  let rounds = 0;
  let nextRound = 0;
  let missingSaid = false;

  /** Opens the next file of the round that has something unread; false at the end of the round. */
  const openNext = async (): Promise<boolean> => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      try {
        const absolute = await confine(root, path);
        const { size, mtimeMs, ino } = await stat(absolute);
        const look = `${size} ${mtimeMs} ${ino}`;
        if (seen.get(path) === look) continue;
        const layout = layoutOf(path, config);
        const todo = await unread(absolute, path, progress.get(path), layout.compression !== 'none', log);
        const records = todo === null ? null : await openRecords({ absolute, path, layout, from: todo, final: mode === 'once' });
        seen.set(path, look);
        if (records === null) continue;
        current = { path, records };
        return true;
      } catch (error) {
        if (isGone(error)) continue;
        throw explain(error, path);
      }
    }
    return false;
  };

  const closeCurrent = async (): Promise<void> => {
    const closing = current;
    current = null;
    await closing?.records.close();
  };

  const startRound = async (): Promise<void> => {
    const files = await listFiles(root, pattern);
    // A file that was never there is most likely a wrong name; one that is gone may be on its way back.
    if (files.length === 0 && !isGlob(pattern) && progress.size === 0)
      throw new TributaryError('STREAM_NOT_FOUND', `File "${pattern}" does not exist in the folder for files.`);
    if (files.length === 0 && !missingSaid) {
      missingSaid = true;
      log.warn(isGlob(pattern) ? `No file matches "${pattern}" yet.` : `File "${pattern}" is gone; it is read again once it is back.`, { pattern });
    }
    queue = files.filter((path) => sliceOf(path, slices) === slice);
    rounds += 1;
    nextRound = performance.now() + config.poll_interval_seconds * 1000;
  };

  const collect = async (signal: AbortSignal): Promise<RowBatch | null> => {
    const parts: { readonly rows: Row[]; readonly originOf: (index: number) => Origin }[] = [];
    const unreadable: RejectedRow[] = [];
    let count = 0;
    let bytes = 0;
    let moved = false;
    while (count < options.maxRows && (bytes < options.maxBytes || !moved)) {
      signal.throwIfAborted();
      if (current === null && !(await openNext())) break;
      if (current === null) break;
      const { path, records } = current;
      let taken;
      try {
        taken = await records.take(options.maxRows - count, Math.max(options.maxBytes - bytes, 1));
      } catch (error) {
        if (!isCutOff(error)) throw explain(error, path);
        log.info(`File "${path}" ends in the middle of its compressed data; it is read on once it has grown.`, { path });
        taken = null;
      }
      if (taken === null) {
        await closeCurrent();
        continue;
      }
      progress.set(path, taken.progress);
      position[path] = progressText(taken.progress);
      parts.push(taken);
      for (const row of taken.unreadable) unreadable.push(row);
      count += taken.rows.length + taken.unreadable.length;
      bytes += taken.bytes;
      moved = true;
    }
    if (!moved) return null;
    const originOf = (index: number): Origin => {
      let at = index;
      for (const part of parts) {
        if (at < part.rows.length) return part.originOf(at);
        at -= part.rows.length;
      }
      return {};
    };
    const only = parts.length === 1 ? parts[0] : undefined;
    return {
      kind: 'rows',
      rows: only?.rows ?? parts.flatMap((part) => part.rows),
      originOf: only?.originOf ?? originOf,
      unreadable,
      position: { ...position },
      bytes,
      newestAt: null,
    };
  };

  const next: Reader['next'] = async (signal) => {
    try {
      for (;;) {
        if (current === null && queue.length === 0) {
          if (rounds > 0 && mode === 'once') return 'end';
          const wait = nextRound - performance.now();
          if (rounds > 0 && wait > 0) {
            await delay(Math.min(wait, idleAfter), undefined, { signal });
            if (wait > idleAfter) return 'idle';
          }
          await startRound();
        }
        const batch = await collect(signal);
        if (batch !== null) return batch;
        if (mode === 'continuous') return 'idle';
      }
    } catch (error) {
      await closeCurrent();
      signal.throwIfAborted();
      throw error;
    }
  };

  return { next, close: closeCurrent };
};
