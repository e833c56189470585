/** Reads a table page by page in the order of cursor and key, then looks for more at intervals. The connector supplies the pages. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Origin, Position, RejectedRow, RowBatch } from '@tributary/contracts/ops';
import type { Row, StreamSchema } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { longestSameCursor, readKeysetPosition, writeKeysetPosition, type KeysetPosition } from './keyset-position.ts';
import type { ConnectorLog, Reader, ReadOptions } from './source.ts';

/** `nulls`: rows without a cursor value, by key. `rows`: the others by cursor and key; all rows by key where there is no cursor. */
export type KeysetPhase = 'nulls' | 'rows';

/** Cursor (in phase `rows`, where there is one) and key of a row, as exact texts. */
export type KeysetMark = readonly string[];

export interface KeysetQuery {
  readonly phase: KeysetPhase;
  /** Rows behind this one only. */
  readonly behind: KeysetMark | null;
  /** Rows whose cursor is not below this one only. */
  readonly fromCursor: string | null;
  /** Up to this row, itself included. */
  readonly upTo: KeysetMark;
  /** A page holds at most so many rows and about so many bytes; but may hold more where finding the first row is what costs. */
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** Rows in order; what is asked of a row is worked out when it is asked. */
export interface KeysetPage {
  readonly count: number;
  /** More rows fit the query than are in the page. */
  readonly isFull: boolean;
  bytesAt(index: number): number;
  /** null when a value is not what its column promises. */
  rowAt(index: number): Row | null;
  unreadableAt(index: number): { readonly reason: string; readonly payload: string };
  /** null in phase `nulls` and where there is no cursor. */
  cursorAt(index: number): string | null;
  keyAt(index: number): readonly string[];
}

export interface KeysetTable {
  readonly name: string;
  readonly schema: StreamSchema;
  /** For messages: `an SQLite table`. */
  readonly what: string;
  readonly cursor: { readonly nullable: boolean } | null;
  readonly keyNames: readonly string[];
  /** The user says that the key is one: then it is looked at. */
  readonly keyIsGiven: boolean;
  /** The highest row of a phase; null when there is none. */
  last(phase: KeysetPhase): Promise<KeysetMark | null>;
  page(query: KeysetQuery): Promise<KeysetPage>;
  /** Epoch milliseconds of a cursor; null where it is no time. */
  timeOf(cursor: string): number | null;
}

export interface KeysetReaderOptions extends ReadOptions {
  readonly table: KeysetTable;
  readonly mode: 'continuous' | 'once';
  /** Milliseconds. */
  readonly pollInterval: number;
  readonly log: ConnectorLog;
  /** Called when there is nothing more for now, and after an error: to let go of what need not be held until the next look. */
  readonly release: () => Promise<void>;
}

const retryFor = 30_000;
const idleAfter = 1_000;

/** One pass over the table, up to the row that was the last when it began. */
interface Pass {
  readonly phase: KeysetPhase;
  readonly last: KeysetMark;
  /** Of the last row of the pages before; null: the pass begins at the position, with rows of the same cursor again. */
  behind: KeysetMark | null;
  /** Keys to pass over, with how often, where they come with this cursor: with a higher one they were changed since. */
  readonly skip: Map<string, number>;
  readonly skipCursor: string | null;
  page: KeysetPage | null;
  /** Index of the next row of the page. */
  next: number;
}

const keyText = (key: readonly string[]): string => JSON.stringify(key);

/** Takes the key off the list of those that were read before. */
const wasRead = (skip: Map<string, number>, key: readonly string[]): boolean => {
  const times = skip.get(keyText(key));
  if (times === undefined) return false;
  if (times === 1) skip.delete(keyText(key));
  else skip.set(keyText(key), times - 1);
  return true;
};

/** What `work` gives, or the reason of an abort, without waiting for a query that is under way. */
const orAborted = <Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> =>
  new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });

export const keysetReader = (from: Position, options: KeysetReaderOptions): Reader => {
  const { table, mode, log, maxRows, maxBytes } = options;
  let position = readKeysetPosition(from, table.what);
  let pass: Pass | null = null;
  let isFirst = true;
  let lookAgainAt = 0;

  const beginPass = async (): Promise<Pass | null> => {
    const phase = table.cursor?.nullable === true && !position.nullsDone ? 'nulls' : 'rows';
    const last = await table.last(phase);
    if (last === null) {
      if (phase === 'rows') return null;
      position = { ...position, nullsDone: true, key: null };
      return beginPass();
    }
    const skip = new Map<string, number>();
    for (const key of position.sameCursor ?? []) skip.set(keyText(key), (skip.get(keyText(key)) ?? 0) + 1);
    return { phase, last, behind: null, skip, skipCursor: position.cursor, page: null, next: 0 };
  };

  const query = ({ phase, last, behind }: Pass): KeysetQuery => {
    const common = { phase, upTo: last, maxRows, maxBytes };
    if (behind !== null) return { ...common, behind, fromCursor: null };
    if (table.cursor !== null && phase === 'rows' && position.cursor !== null) {
      // I5: inclusive, so that rows that share the last cursor are not missed; those already read are in `skip`.
      return position.sameCursor === null
        ? { ...common, behind: [position.cursor, ...(position.key ?? [])], fromCursor: null }
        : { ...common, behind: null, fromCursor: position.cursor };
    }
    return { ...common, behind: table.cursor === null || phase === 'nulls' ? position.key : null, fromCursor: null };
  };

  /** The position behind the row `end - 1` of a page, of which the rows from `start` on are new but for `passed`. */
  const positionAfter = (page: KeysetPage, start: number, end: number, passed: ReadonlySet<number>): KeysetPosition => {
    const read = position.read + end - start - passed.size;
    const { nullsDone } = position;
    const key = page.keyAt(end - 1);
    const cursor = page.cursorAt(end - 1);
    if (cursor === null) return { read, nullsDone, cursor, key, sameCursor: [] };
    const same: (readonly string[])[] = [];
    let at = end - 1;
    for (; at >= start && same.length <= longestSameCursor && page.cursorAt(at) === cursor; at -= 1) if (!passed.has(at)) same.push(page.keyAt(at));
    same.reverse();
    if (at >= start || cursor !== position.cursor) return { read, nullsDone, cursor, key, sameCursor: same.length > longestSameCursor ? null : same };
    const before = position.sameCursor;
    return { read, nullsDone, cursor, key, sameCursor: before === null || before.length + same.length > longestSameCursor ? null : [...before, ...same] };
  };

  const refuseTwins = (page: KeysetPage): void => {
    for (let index = 1; index < page.count; index += 1) {
      if (page.cursorAt(index) !== page.cursorAt(index - 1) || keyText(page.keyAt(index)) !== keyText(page.keyAt(index - 1))) continue;
      throw new TributaryError(
        'CONFIG_INVALID',
        `key_columns: several rows of "${table.name}" have ${table.keyNames.join(', ')} = ${page.keyAt(index).join(', ')}, so rows would be missed. Name columns that tell all rows apart.`,
      );
    }
  };

  /** null: all of these rows were read before. */
  const batchOf = (current: Pass, page: KeysetPage): RowBatch | null => {
    const start = current.next;
    const rows: Row[] = [];
    const indexes: number[] = [];
    const unreadable: RejectedRow[] = [];
    const passed = new Set<number>();
    let bytes = 0;
    let end = start;
    for (; end < page.count && rows.length + unreadable.length < maxRows; end += 1) {
      const weight = page.bytesAt(end);
      if (bytes > 0 && bytes + weight > maxBytes) break;
      if (current.skip.size > 0 && page.cursorAt(end) === current.skipCursor && wasRead(current.skip, page.keyAt(end))) {
        passed.add(end);
        continue;
      }
      bytes += weight;
      const row = page.rowAt(end);
      if (row === null) unreadable.push({ code: 'ROW_UNREADABLE', ...page.unreadableAt(end), origin: originOf(table, page.keyAt(end)) });
      else {
        rows.push(row);
        indexes.push(end);
      }
    }
    current.next = end;
    if (end === passed.size + start) return null;
    position = positionAfter(page, start, end, passed);
    const batch: RowBatch = {
      kind: 'rows',
      rows,
      originOf: (at) => originOf(table, page.keyAt(indexes[at] ?? 0)),
      unreadable,
      position: writeKeysetPosition(position),
      bytes,
      newestAt: position.cursor === null ? null : table.timeOf(position.cursor),
      ...(isFirst ? { schema: table.schema } : {}),
    };
    isFirst = false;
    return batch;
  };

  const finished = async (): Promise<'end' | 'idle'> => {
    await options.release();
    if (mode === 'once') return 'end';
    lookAgainAt = Date.now() + options.pollInterval;
    return 'idle';
  };

  const nextPage = async (current: Pass): Promise<KeysetPage> => {
    const page = await table.page(query(current));
    if (table.keyIsGiven) refuseTwins(page);
    current.page = page;
    current.next = 0;
    return page;
  };

  /** The next rows, or what to do about there being none. */
  const step = async (signal: AbortSignal): Promise<RowBatch | 'idle' | 'end' | 'again'> => {
    if (pass === null) {
      const rest = lookAgainAt - Date.now();
      if (rest > 0) {
        await wait(Math.min(rest, idleAfter), undefined, { signal });
        return rest > idleAfter ? 'idle' : 'again';
      }
      pass = await beginPass();
      if (pass === null) return finished();
    }
    const page = pass.page ?? (await nextPage(pass));
    if (pass.next < page.count) return batchOf(pass, page) ?? 'again';
    pass.page = null;
    if (page.isFull && page.count > 0) {
      const cursor = page.cursorAt(page.count - 1);
      const key = page.keyAt(page.count - 1);
      pass.behind = cursor === null ? key : [cursor, ...key];
      return 'again';
    }
    const { phase } = pass;
    pass = null;
    if (phase === 'rows') return finished();
    position = { ...position, nullsDone: true, key: null };
    return 'again';
  };

  return {
    next: async (signal) => {
      const until = Date.now() + retryFor;
      for (let attempt = 1; ; attempt += 1) {
        signal.throwIfAborted();
        try {
          const answer = await orAborted(step(signal), signal);
          if (answer !== 'again') return answer;
          attempt = 0;
        } catch (error) {
          signal.throwIfAborted();
          pass = null;
          await options.release();
          const mayPass = error instanceof TributaryError && error.kind === 'transient' && error.code !== 'STREAM_NOT_FOUND';
          if (!mayPass || Date.now() > until) throw error;
          log.warn('Reading failed and is tried again.', { table: table.name, reason: error.message });
          await wait(Math.min(5_000, 100 * 2 ** attempt), undefined, { signal }).catch(() => {});
        }
      }
    },
  };
};

const originOf = (table: KeysetTable, key: readonly string[]): Origin => ({
  table: table.name,
  ...Object.fromEntries(table.keyNames.map((name, index) => [name, key[index] ?? ''])),
});

/** Behind the last row there is now. */
export const keysetNow = async (table: KeysetTable): Promise<KeysetPosition> => {
  const start: KeysetPosition = { read: 0, nullsDone: true, cursor: null, key: null, sameCursor: [] };
  const last = await table.last('rows');
  if (last === null) return start;
  if (table.cursor === null) return { ...start, key: last };
  const [cursor = '', ...key] = last;
  const page = await table.page({ phase: 'rows', behind: null, fromCursor: cursor, upTo: last, maxRows: longestSameCursor + 1, maxBytes: 1 << 28 });
  const same = page.isFull || page.count > longestSameCursor ? null : Array.from({ length: page.count }, (_, index) => page.keyAt(index));
  return { ...start, cursor, key, sameCursor: same };
};
