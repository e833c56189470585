/** Reads a collection: first all documents, then the changes since before the first of them. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Collection } from 'mongodb';
import type { Reader, ReadOptions } from '@tributary/connector-sdk/source';
import type { Position, RowBatch } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { changeEvents } from './change-events.ts';
import type { SourceConfig } from './config.ts';
import type { Connection } from './connect.ts';
import { documentPages } from './document-pages.ts';
import { readPosition, writePosition, type CollectionPosition } from './source-position.ts';

/** Without changes the position still moves so often, so that the history behind it may go. */
const tokenEvery = 60_000;
const idleMs = 500;

export interface CollectionReader extends Reader {
  readonly close: () => Promise<void>;
}

interface ReaderOptions extends ReadOptions {
  readonly connection: Connection;
  readonly collection: Collection;
  readonly mode: 'continuous' | 'once';
  readonly reads: SourceConfig['mode'];
}

/** The answer, or the signal's reason as soon as it is aborted. */
const unlessAborted = async <Result>(answer: Promise<Result>, signal: AbortSignal): Promise<Result> => {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const give = (): void => reject(signal.reason instanceof Error ? signal.reason : new TributaryError('TIMEOUT', String(signal.reason)));
  signal.addEventListener('abort', give, { once: true });
  try {
    return await Promise.race([answer, promise]);
  } finally {
    signal.removeEventListener('abort', give);
    answer.catch(() => {});
  }
};

export const collectionReader = (from: Position, options: ReaderOptions): CollectionReader => {
  const { connection, collection, maxRows, maxBytes, mode, reads } = options;
  const isOnce = mode === 'once';
  let position: CollectionPosition = readPosition(from);
  let pages: ReturnType<typeof documentPages> | undefined;
  let changes: ReturnType<typeof changeEvents> | undefined;
  let hasEnded = false;
  let toldAt = performance.now();

  const followsChanges = reads === 'snapshot_and_changes';
  if (followsChanges && position.token === null && position.since === null)
    throw new TributaryError(
      'POSITION_LOST',
      `The checkpoint of collection "${collection.collectionName}" was made in mode "snapshot" and knows no place in the change stream. Start a backfill.`,
    );

  const advance = (change: Partial<CollectionPosition>): Position => {
    position = { ...position, ...change, step: position.step + 1 };
    toldAt = performance.now();
    return writePosition(position);
  };

  const nextDocuments = async (signal: AbortSignal): Promise<RowBatch | null> => {
    pages ??= documentPages(connection, collection, position);
    const page = await pages.next(maxRows, maxBytes, signal);
    if (page === null) return null;
    const { rows, origins, unreadable, bytes } = page;
    return {
      kind: 'rows',
      rows,
      originOf: (index) => origins[index] ?? {},
      unreadable,
      position: advance({ after: page.last }),
      bytes,
      newestAt: null,
    };
  };

  const nextChanges = async (signal: AbortSignal): Promise<RowBatch | 'idle' | 'end'> => {
    changes ??= changeEvents(collection, position, isOnce);
    const { rows, ops, origins, unreadable, bytes, newestAt, token, isCaughtUp } = await changes.next(maxRows, maxBytes, signal);
    hasEnded = isOnce && isCaughtUp;
    const isEmpty = rows.length === 0 && unreadable.length === 0;
    // A position that stays while others write would leave the history of the server one day.
    const isDue = token !== position.token && performance.now() - toldAt > tokenEvery;
    if (isEmpty && !isDue) return hasEnded ? 'end' : 'idle';
    return {
      kind: 'rows',
      rows,
      ...(ops.includes('delete') ? { ops } : {}),
      originOf: (index) => origins[index] ?? {},
      unreadable,
      position: advance({ token, since: isEmpty ? position.since : null }),
      bytes,
      newestAt,
    };
  };

  const next = async (signal: AbortSignal): Promise<RowBatch | 'idle' | 'end'> => {
    if (position.isReading) {
      const batch = await nextDocuments(signal);
      if (batch !== null) return batch;
      await pages?.close();
      if (followsChanges) position = { ...position, isReading: false, after: null, asOf: null };
    }
    if (!followsChanges) {
      if (isOnce) return 'end';
      // Documents that come later are not read: whoever wants them takes the changes too.
      position = { ...position, isReading: false };
      await wait(idleMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      return 'idle';
    }
    return hasEnded ? 'end' : nextChanges(signal);
  };

  return {
    next: async (signal) => {
      signal.throwIfAborted();
      try {
        return await unlessAborted(next(signal), signal);
      } catch (error) {
        signal.throwIfAborted();
        throw connection.explain(error);
      }
    },
    close: async () => {
      await pages?.close();
      await changes?.close();
    },
  };
};
