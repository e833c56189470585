/** Reads a table in keyset chunks, each one SELECT whose rows are taken as they come, then looks for more at intervals. */
import { setTimeout as wait } from 'node:timers/promises';
import { cutText } from '@tributary/connector-sdk/payload';
import type { ConnectorLog, Reader, ReadOptions } from '@tributary/connector-sdk/source';
import type { Origin, Position, RejectedRow, RowBatch } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { advance, readKeysetPosition, writeKeysetPosition } from '@tributary/connector-sdk/keyset-position';
import { compareTerms, rowOf, type OrderTerm, type SourceTable } from './source-table.ts';
import { currentWriters } from './writers.ts';

/** Rows of one SELECT: few enough that its snapshot does not keep the server from cleaning up, many enough that a sort without an index pays. */
const chunkRows = 100_000;
const retryFor = 30_000;
const idleAfter = 1_000;

export interface TableReaderOptions extends ReadOptions {
  readonly table: SourceTable;
  readonly mode: 'continuous' | 'once';
  /** Milliseconds. */
  readonly pollInterval: number;
  readonly log: ConnectorLog;
  /** A session for this reader alone. */
  readonly connect: (signal: AbortSignal) => Promise<Session>;
  readonly onSession: (session: Session) => void;
}

type Phase = 'nulls' | 'rows';

/** One pass over the table, up to the row that was the last when it began. */
interface Pass {
  readonly phase: Phase;
  /** Cursor and key of the last row to read. */
  readonly last: readonly string[];
  writers: readonly string[];
  /** null: the next chunk begins at the position, those of the same cursor again. */
  behind: readonly string[] | null;
  fetched: AsyncGenerator<Fetched> | null;
  /** Keys to pass over, with how often. */
  skip: Map<string, number>;
  /** The cursor that the rows in `skip` had; `position.cursor` moves on within the pass, and a key may come back with a newer one. */
  readonly skipCursor: string | null;
  rowsInChunk: number;
}

type Fields = readonly (Buffer | null)[];

interface Fetched {
  readonly rows: Fields[];
  readonly bytes: number;
}

export const tableReader = (from: Position, options: TableReaderOptions): Reader => {
  const { table, mode, log } = options;
  let position = readKeysetPosition(from, 'a MySQL table');
  let session: Session | null = null;
  let pass: Pass | null = null;
  let isFirst = true;
  let lookAgainAt = 0;
  /** Rows without a cursor value come first, once. */
  const phaseNow = (): Phase => (table.cursor?.nullable === true && !position.nullsDone ? 'nulls' : 'rows');

  const termsOf = (phase: Phase): OrderTerm[] => (table.cursor !== null && phase === 'rows' ? [table.cursor, ...table.key] : [...table.key]);

  const beginPass = async (open: Session): Promise<Pass | null> => {
    const phase = phaseNow();
    const last = await lastRow(open, table, phase);
    if (last === null) {
      if (phase === 'rows') return null;
      position = { ...position, nullsDone: true, key: null };
      return beginPass(open);
    }
    const skip = new Map<string, number>();
    for (const key of position.sameCursor ?? []) skip.set(JSON.stringify(key), (skip.get(JSON.stringify(key)) ?? 0) + 1);
    return { phase, last, writers: await currentWriters(open), behind: null, fetched: null, skip, skipCursor: position.cursor, rowsInChunk: 0 };
  };

  const chunkStatement = (current: Pass): string => {
    const terms = termsOf(current.phase);
    const conditions = [compareTerms(terms, '<=', current.last)];
    if (table.cursor !== null) conditions.push(`${table.cursor.sql} is ${current.phase === 'nulls' ? '' : 'not '}null`);
    if (current.behind !== null) conditions.push(compareTerms(terms, '>', current.behind));
    else if (current.phase === 'rows' && table.cursor !== null && position.cursor !== null) {
      // I5: inclusive, so that rows that share the last cursor are not missed; those already read are in `skip`.
      conditions.push(
        position.sameCursor !== null
          ? compareTerms([table.cursor], '>=', [position.cursor])
          : compareTerms(terms, '>', [position.cursor, ...(position.key ?? [])]),
      );
    } else if (position.key !== null && (table.cursor === null || current.phase === 'nulls')) conditions.push(compareTerms(terms, '>', position.key));
    // Equal rows of a table without a key must not be parted, so that is read in one.
    return `${table.select} where ${conditions.join(' and ')} order by ${terms.map((term) => term.sql).join(', ')}${table.keyIsUnique ? ` limit ${chunkRows}` : ''}`;
  };

  /** null: all of these rows were read before. */
  const batchOf = (current: Pass, { rows: fetched, bytes }: Fetched): RowBatch | null => {
    const rows: Row[] = [];
    const keys: (readonly string[])[] = [];
    const unreadable: RejectedRow[] = [];
    let cursor: string | null = null;
    for (const fields of fetched) {
      const key = table.key.map((term) => textOf(term, fields) ?? '');
      cursor = table.cursor === null || current.phase === 'nulls' ? null : textOf(table.cursor, fields);
      current.behind = cursor === null ? key : [cursor, ...key];
      if (current.skip.size > 0 && cursor === current.skipCursor && wasRead(current.skip, key)) continue;
      position = advance(position, cursor, key);
      try {
        rows.push(rowOf(table, fields));
        keys.push(key);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        unreadable.push({
          code: 'ROW_UNREADABLE',
          reason: `The row holds JSON that cannot be read: ${error.message}.`,
          payload: cutText(textOfRow(table, fields)),
          origin: originOf(table, key),
        });
      }
    }
    current.rowsInChunk += fetched.length;
    if (rows.length + unreadable.length === 0) return null;
    const batch: RowBatch = {
      kind: 'rows',
      rows,
      originOf: (at) => originOf(table, keys[at] ?? []),
      unreadable,
      position: writeKeysetPosition(position),
      bytes,
      newestAt: table.cursor?.isInstant === true && cursor !== null ? instantOf(cursor) : null,
      ...(isFirst ? { schema: table.schema } : {}),
    };
    isFirst = false;
    return batch;
  };

  /** The next rows, or what to do about there being none. */
  const step = async (signal: AbortSignal): Promise<RowBatch | 'idle' | 'end' | 'again'> => {
    if (session === null) {
      session = await options.connect(signal);
      options.onSession(session);
    }
    if (pass === null) {
      const rest = lookAgainAt - Date.now();
      if (rest > 0) {
        await wait(Math.min(rest, idleAfter), undefined, { signal });
        return rest > idleAfter ? 'idle' : 'again';
      }
      pass = await beginPass(session);
      if (pass === null) return finished();
    }
    if (pass.writers.length > 0) {
      const now = new Set(await currentWriters(session));
      pass.writers = pass.writers.filter((writer) => now.has(writer));
      if (pass.writers.length > 0) {
        log.debug('Waiting for transactions that are writing.', { table: table.name, transactions: pass.writers.length });
        await wait(150, undefined, { signal });
        return 'idle';
      }
    }
    pass.fetched ??= readRows(session, chunkStatement(pass), options.maxRows, options.maxBytes);
    const read = await pass.fetched.next();
    if (read.done !== true) return batchOf(pass, read.value) ?? 'again';
    pass.fetched = null;
    const isWhole = !table.keyIsUnique || pass.rowsInChunk < chunkRows;
    pass.rowsInChunk = 0;
    if (!isWhole) return 'again';
    const { phase } = pass;
    pass = null;
    if (phase === 'nulls') {
      position = { ...position, nullsDone: true, key: null };
      return 'again';
    }
    return finished();
  };

  const finished = (): 'end' | 'idle' => {
    if (mode === 'once') return 'end';
    lookAgainAt = Date.now() + options.pollInterval;
    return 'idle';
  };

  const dropSession = async (): Promise<void> => {
    const lost = session;
    session = null;
    pass = null;
    await lost?.close();
  };

  return {
    next: async (signal) => {
      const abort = (): void => {
        session?.cut();
      };
      signal.addEventListener('abort', abort, { once: true });
      const until = Date.now() + retryFor;
      try {
        for (let attempt = 1; ; attempt++) {
          signal.throwIfAborted();
          try {
            const answer = await step(signal);
            if (answer !== 'again') return answer;
            attempt = 0;
          } catch (error) {
            signal.throwIfAborted();
            const explained = session === null ? error : session.explain(error);
            await dropSession();
            const mayPass = explained instanceof TributaryError && explained.kind === 'transient' && explained.code !== 'STREAM_NOT_FOUND';
            if (!mayPass || Date.now() > until) throw explained;
            log.warn('Reading failed and is tried again.', { table: table.name, reason: explained.message });
            await wait(Math.min(5_000, 100 * 2 ** attempt), undefined, { signal }).catch(() => {});
          }
        }
      } finally {
        signal.removeEventListener('abort', abort);
      }
    },
  };
};

/** Takes the key off the list of those that were read before. */
const wasRead = (skip: Map<string, number>, key: readonly string[]): boolean => {
  const text = JSON.stringify(key);
  const times = skip.get(text);
  if (times === undefined) return false;
  if (times === 1) skip.delete(text);
  else skip.set(text, times - 1);
  return true;
};

/** Epoch milliseconds of a timestamp in UTC. */
const instantOf = (text: string): number | null => {
  const milliseconds = Date.parse(`${text.replace(' ', 'T')}Z`);
  return Number.isNaN(milliseconds) ? null : milliseconds;
};

const textOf = (term: OrderTerm, fields: Fields): string | null => {
  const bytes = fields[term.field];
  return bytes === null || bytes === undefined ? null : term.textOf(bytes);
};

/** The row as it was read, for people. */
const textOfRow = (table: SourceTable, fields: Fields): string =>
  JSON.stringify(Object.fromEntries(table.columns.map(({ name }, index) => [name, fields[index]?.toString('utf8') ?? null])));

/** Cursor and key of the highest row; null when there is none. */
export const lastRow = async (session: Session, table: SourceTable, phase: Phase): Promise<string[] | null> => {
  const terms = table.cursor !== null && phase === 'rows' ? [table.cursor, ...table.key] : table.key;
  const condition = table.cursor === null ? '' : ` where ${table.cursor.sql} is ${phase === 'nulls' ? '' : 'not '}null`;
  const [row] = await keysOf(session, table, terms, `${condition} order by ${terms.map((term) => `${term.sql} desc`).join(', ')} limit 1`);
  return row ?? null;
};

/** The texts of these terms in all rows that `rest` (condition, order, limit) leaves. */
export const keysOf = async (session: Session, table: SourceTable, terms: readonly OrderTerm[], rest: string): Promise<string[][]> => {
  const keys: string[][] = [];
  const statement = `select ${terms.map((term) => term.sql).join(', ')} from ${table.from}${rest}`;
  for await (const { rows } of readRows(session, statement, 1_000, 1 << 20)) {
    for (const fields of rows) keys.push(terms.map((term, index) => textOf({ ...term, field: index }, fields) ?? ''));
  }
  return keys;
};

/** All rows of a SELECT that gives a few. */
export const fieldsOf = async (session: Session, statement: string): Promise<Fields[]> => {
  const all: Fields[] = [];
  for await (const { rows } of readRows(session, statement, 1_000, 1 << 20)) all.push(...rows);
  return all;
};

export const originOf = (table: SourceTable, key: readonly string[]): Origin => ({
  table: table.name,
  ...Object.fromEntries(table.key.map((term, index) => [table.columns[term.field]?.name ?? 'row_md5', key[index] ?? ''])),
});

/** Rows of one SELECT as the server sends them, gathered up to the bounds of a batch; the driver holds a few dozen more at most. */
async function* readRows(session: Session, statement: string, maxRows: number, maxBytes: number): AsyncGenerator<Fetched> {
  let rows: Fields[] = [];
  let bytes = 0;
  for await (const fields of session.stream(statement) as AsyncIterable<Fields>) {
    rows.push(fields);
    for (const field of fields) bytes += field === null ? 1 : field.length + 1;
    if (rows.length < maxRows && bytes < maxBytes) continue;
    yield { rows, bytes };
    rows = [];
    bytes = 0;
  }
  if (rows.length > 0) yield { rows, bytes };
}
