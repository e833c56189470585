/** Reads the documents of a collection in the order of `_id`, page by page. Values of all BSON types have a place in that order. */
import { setTimeout as wait } from 'node:timers/promises';
import { BSON, type ClientSession, type Collection, type Document, type FindCursor, type Timestamp } from 'mongodb';
import { cutText, bytesPayload } from '@tributary/connector-sdk/payload';
import type { Origin, RejectedRow } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf } from '@tributary/errors/error';
import type { Connection } from './connect.ts';
import { decodeOptions, exactText, fromExactText, rowOfDocument } from './from-bson.ts';
import { isTransient } from './server-errors.ts';
import { idOfText, textOfId } from './source-position.ts';

export interface Page {
  readonly rows: Row[];
  readonly origins: Origin[];
  readonly unreadable: RejectedRow[];
  readonly bytes: number;
  /** `_id` of the last document, as exact text. */
  readonly last: string;
}

/** Transient trouble is retried for so long. */
export const retryFor = 30_000;

/** Runs `work` again and again while what it throws is transient, up to 30 s after the first failure. */
export const withRetries = async <Result>(signal: AbortSignal, work: () => Promise<Result>, beforeRetry: () => Promise<void>): Promise<Result> => {
  let failedAt: number | undefined;
  for (let pause = 100; ; pause = Math.min(pause * 2, 3_000)) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      failedAt ??= performance.now();
      if (!isTransient(error) || performance.now() - failedAt > retryFor) throw error;
      await beforeRetry();
      await wait(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
};

export const documentPages = (connection: Connection, collection: Collection, from: { readonly after: string | null; readonly asOf: string | null }) => {
  let last = from.after;
  let cursor: FindCursor | undefined;
  let session: ClientSession | undefined;
  let pending: Uint8Array[] = [];
  let at = 0;

  const close = async (): Promise<void> => {
    await cursor?.close().catch(() => {});
    await session?.endSession().catch(() => {});
    cursor = undefined;
    session = undefined;
    pending = [];
    at = 0;
  };

  const open = (batchSize: number): FindCursor => {
    session = connection.client.startSession({ causalConsistency: true });
    // A server that was elected meanwhile must show at least what the change stream began with.
    if (from.asOf !== null) session.advanceOperationTime(fromExactText(from.asOf) as Timestamp);
    return collection.find(
      {},
      {
        session,
        raw: true,
        batchSize,
        // Without a change stream to fit to, a standalone server, which knows no majority, will do.
        readConcern: { level: from.asOf === null ? 'local' : 'majority' },
        sort: { _id: 1 },
        hint: { _id: 1 },
        // A comparison by $gt would stop at the end of the type that the last _id has; an index bound does not. It is inclusive.
        ...(last === null ? {} : { min: { _id: idOfText(last) } }),
      },
    );
  };

  const fill = async (batchSize: number): Promise<boolean> => {
    if (at < pending.length) return true;
    cursor ??= open(batchSize);
    if (!(await cursor.hasNext())) return false;
    // With `raw` the cursor gives the bytes of each document.
    pending = cursor.readBufferedDocuments();
    at = 0;
    return pending.length > 0;
  };

  return {
    /** The next page; null after the last document. */
    next: async (maxRows: number, maxBytes: number, signal: AbortSignal): Promise<Page | null> => {
      const page = { rows: [] as Row[], origins: [] as Origin[], unreadable: [] as RejectedRow[], bytes: 0 };
      let taken = 0;
      while (taken < maxRows) {
        if (taken > 0 && at >= pending.length) break;
        if (!(await withRetries(signal, () => fill(Math.min(maxRows, 2_000)), close))) break;
        const raw = pending[at] as Uint8Array;
        if (taken > 0 && page.bytes + raw.byteLength > maxBytes) break;
        at += 1;
        const read = readDocument(raw, collection.collectionName);
        // I5: the bound is inclusive, so the last document of before comes once more.
        if (read.id !== null && read.id === last) continue;
        taken += 1;
        page.bytes += raw.byteLength;
        if (read.id !== null) last = read.id;
        if (read.row === null) page.unreadable.push(read.rejected);
        else {
          page.rows.push(read.row);
          page.origins.push(read.origin);
        }
      }
      return taken === 0 ? null : { ...page, last: last ?? '' };
    },
    close,
  };
};

type Read =
  | { readonly id: string | null; readonly row: Row; readonly origin: Origin }
  | { readonly id: string | null; readonly row: null; readonly rejected: RejectedRow };

const readDocument = (raw: Uint8Array, collection: string): Read => {
  let document: Document | undefined;
  let id: string | null = null;
  try {
    document = BSON.deserialize(raw, decodeOptions);
    id = textOfId(document['_id']);
    return { id, row: rowOfDocument(document), origin: originOf(collection, id) };
  } catch (error) {
    id ??= idAlone(raw);
    return { id, row: null, rejected: rejectedDocument(error, document, raw, originOf(collection, id ?? '')) };
  }
};

/** The `_id` of a document in which some text is no UTF-8. */
const idAlone = (raw: Uint8Array): string | null => {
  try {
    return textOfId(BSON.deserialize(raw, { ...decodeOptions, validation: { utf8: false } })['_id']);
  } catch {
    return null;
  }
};

export const originOf = (collection: string, id: string): Origin => ({ collection, _id: cutText(id, 1_000) });

export const rejectedDocument = (error: unknown, document: Document | undefined, raw: Uint8Array | null, origin: Origin): RejectedRow => ({
  code: 'ROW_UNREADABLE',
  reason: `The document cannot be read: ${messageOf(error)}.`,
  payload: document === undefined ? bytesPayload(Buffer.from(raw ?? [])) : cutText(exactText(document)),
  origin,
});
