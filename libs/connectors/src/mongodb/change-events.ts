/** Follows the change stream of a collection (https://www.mongodb.com/docs/manual/changeStreams/): inserts, replacements and updates as upserts, deletes. */
import { BSON, Long, Timestamp, type ChangeStream, type ChangeStreamDocument, type Collection, type Db, type Document, type ResumeToken } from 'mongodb';
import type { OpKind, Origin, RejectedRow } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { originOf, rejectedDocument, withRetries } from './document-pages.ts';
import { exactText, fromExactText, rowOfDocument, valueOfField } from './from-bson.ts';
import { isTransient } from './server-errors.ts';
import { textOfId } from './source-position.ts';

export interface Changes {
  readonly rows: Row[];
  readonly ops: OpKind[];
  readonly origins: Origin[];
  readonly unreadable: RejectedRow[];
  readonly bytes: number;
  readonly newestAt: number | null;
  /** Where the stream goes on, as exact text; null while the server has given no token. */
  readonly token: string | null;
  /** Everything there was is given. */
  readonly isCaughtUp: boolean;
}

export interface ChangesFrom {
  readonly token: string | null;
  readonly since: number | null;
}

/**
 * Where a change stream that is opened now begins, and the cluster time of that moment. Asked by a command of its own: a stream of the driver
 * may already have handed a change over when it tells its token.
 */
export const tokenNow = async (db: Db, collection: string): Promise<{ readonly token: string; readonly asOf: string | null }> => {
  const answer = await db.command({ aggregate: collection, pipeline: [{ $changeStream: {} }], cursor: { batchSize: 0 }, readConcern: { level: 'majority' } });
  const cursor = answer['cursor'] as { readonly id: Long | bigint | number; readonly postBatchResumeToken?: ResumeToken };
  await db.command({ killCursors: collection, cursors: [typeof cursor.id === 'number' ? Long.fromNumber(cursor.id) : cursor.id] }).catch(() => {});
  if (cursor.postBatchResumeToken === undefined)
    throw new TributaryError('UNSUPPORTED', 'This MongoDB server gives no token at the beginning of a change stream; MongoDB 5 and newer do.');
  const asOf = answer['operationTime'] as Timestamp | undefined;
  return { token: exactText(cursor.postBatchResumeToken), asOf: asOf === undefined ? null : exactText(asOf) };
};

export const changeEvents = (collection: Collection, from: ChangesFrom, isOnce: boolean) => {
  let { token } = from;
  let stream: ChangeStream | undefined;
  /** Looks at the stream without a change since it was opened: the first one is not even a question to the server. */
  let emptyLooks = 0;
  let openedAt = 0;

  const close = async (): Promise<void> => {
    await stream?.close().catch(() => {});
    stream = undefined;
  };

  const open = (batchSize: number): ChangeStream => {
    emptyLooks = 0;
    openedAt = Date.now();
    return collection.watch([], {
      fullDocument: 'updateLookup',
      batchSize,
      maxAwaitTimeMS: isOnce ? 200 : 500,
      readConcern: { level: 'majority' },
      // A token of an `invalidate` never becomes a position, so `resumeAfter` always fits.
      ...(token !== null
        ? { resumeAfter: fromExactText(token) }
        : { startAtOperationTime: new Timestamp({ t: Math.floor((from.since ?? Date.now()) / 1_000), i: 1 }) }),
    });
  };

  /** Changes that were told while the stream was being looked at stay in it: what `look` gives is taken. */
  const look = async (batchSize: number): Promise<ChangeStreamDocument | null> => {
    stream ??= open(batchSize);
    const event = await stream.tryNext();
    if (event === null) {
      emptyLooks += 1;
      if (stream.resumeToken !== null && stream.resumeToken !== undefined) token = exactText(stream.resumeToken);
    }
    return event;
  };

  return {
    /** The next changes; without rows when a moment passed without any. */
    next: async (maxRows: number, maxBytes: number, signal: AbortSignal): Promise<Changes> => {
      const found = { rows: [] as Row[], ops: [] as OpKind[], origins: [] as Origin[], unreadable: [] as RejectedRow[] };
      let bytes = 0;
      let newestAt: number | null = null;
      let isCaughtUp = false;
      while (found.rows.length + found.unreadable.length < maxRows && bytes < maxBytes) {
        let event: ChangeStreamDocument | null;
        try {
          event = found.rows.length > 0 ? await look(maxRows) : await withRetries(signal, () => look(maxRows), close);
        } catch (error) {
          // What was gathered is whole; the trouble shows again at the next call, if it lasts.
          if (found.rows.length === 0 || !isTransient(error)) throw error;
          await close();
          break;
        }
        if (event === null) {
          isCaughtUp = emptyLooks >= 2;
          if (found.rows.length > 0 || emptyLooks >= 2) break;
          continue;
        }
        const lost = lostCollection(event, collection.collectionName);
        if (lost !== null) {
          if (found.rows.length + found.unreadable.length === 0) throw lost;
          // Opened again later, the stream tells it once more.
          await close();
          break;
        }
        const at = madeAt(event);
        if (from.since === null || at === null || at >= from.since) {
          bytes += take(event, collection.collectionName, found);
          newestAt = at ?? newestAt;
        }
        token = exactText(event._id);
        // Where others write without pause, a run ends with what there was when it began.
        if (isOnce && at !== null && at > openedAt) {
          isCaughtUp = true;
          break;
        }
      }
      return { ...found, bytes, newestAt, token, isCaughtUp };
    },
    close,
  };
};

/** Epoch milliseconds; servers before 6.0 tell whole seconds only. */
const madeAt = (event: ChangeStreamDocument): number | null => {
  const { clusterTime } = event;
  if ('wallTime' in event && event.wallTime instanceof Date) return event.wallTime.getTime();
  // To the end of the second: a change is rather taken than passed over.
  return clusterTime === undefined ? null : clusterTime.getHighBitsUnsigned() * 1_000 + 999;
};

/** Adds what an event says; gives its weight in bytes. */
const take = (event: ChangeStreamDocument, collection: string, found: { rows: Row[]; ops: OpKind[]; origins: Origin[]; unreadable: RejectedRow[] }): number => {
  switch (event.operationType) {
    case 'insert':
    case 'replace':
    case 'update': {
      const document = event.fullDocument as Document | null | undefined;
      // Deleted before it could be looked up: its delete comes next in the stream.
      if (document === null || document === undefined) return 0;
      const origin = { ...originOf(collection, textOfId(document['_id'])), change: event.operationType };
      try {
        found.rows.push(rowOfDocument(document));
        found.ops.push('upsert');
        found.origins.push(origin);
      } catch (error) {
        found.unreadable.push(rejectedDocument(error, document, null, origin));
      }
      return BSON.calculateObjectSize(document);
    }
    case 'delete': {
      const id: unknown = event.documentKey._id;
      found.rows.push({ _id: valueOfField(id) });
      found.ops.push('delete');
      found.origins.push({ ...originOf(collection, textOfId(id)), change: 'delete' });
      return BSON.calculateObjectSize({ _id: id });
    }
    default:
      return 0;
  }
};

const lostCollection = (event: ChangeStreamDocument, collection: string): TributaryError | null => {
  switch (event.operationType) {
    case 'drop':
    case 'rename':
    case 'dropDatabase':
    case 'invalidate':
      return new TributaryError(
        'POSITION_LOST',
        `Collection "${collection}" was ${event.operationType === 'rename' ? 'renamed' : 'dropped'} while its changes were followed: the change stream ends there. Rows that were delivered stay. Start a backfill to read the collection that has this name now.`,
      );
    default:
      return null;
  }
};
