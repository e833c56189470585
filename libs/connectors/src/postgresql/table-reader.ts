/** Reads a table in keyset chunks by COPY, then looks for more at intervals. */
import { setTimeout as wait } from 'node:timers/promises';
import { to as copyTo } from 'pg-copy-streams';
import { cutText } from '@tributary/connector-sdk/payload';
import type { ConnectorLog, Reader, ReadOptions } from '@tributary/connector-sdk/source';
import type { Origin, Position, RejectedRow, RowBatch } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { splitLine } from './copy-text.ts';
import { advance, readKeysetPosition, writeKeysetPosition } from '@tributary/connector-sdk/keyset-position';
import { compareTerms, rowOf, type OrderTerm, type SourceTable } from './source-table.ts';
import { currentWriters } from './writers.ts';

/** Rows of one COPY: few enough that its snapshot does not keep the server from cleaning up, many enough that a sort without an index pays. */
const chunkRows = 200_000;
const retryFor = 30_000;
const idleAfter = 1_000;

export interface TableReaderOptions extends ReadOptions {
  readonly table: SourceTable;
  readonly oid: string;
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
  lines: AsyncGenerator<Lines> | null;
  /** Keys to pass over, with how often. */
  skip: Map<string, number>;
  /** The cursor that the rows in `skip` had; `position.cursor` moves on within the pass, and a key may come back with a newer one. */
  readonly skipCursor: string | null;
  rowsInChunk: number;
}

interface Lines {
  readonly lines: string[];
  readonly bytes: number;
}

export const tableReader = (from: Position, options: TableReaderOptions): Reader => {
  const { table, mode, log } = options;
  let position = readKeysetPosition(from, 'a PostgreSQL table');
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
    return { phase, last, writers: await currentWriters(open, options.oid), behind: null, lines: null, skip, skipCursor: position.cursor, rowsInChunk: 0 };
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
    // With ties: equal rows of a table without a key stay in one chunk.
    return `copy (${table.select} where ${conditions.join(' and ')} order by ${terms.map((term) => term.sql).join(', ')} fetch first ${chunkRows} rows ${table.keyIsUnique ? 'only' : 'with ties'}) to stdout`;
  };

  /** null: all of these rows were read before. */
  const batchOf = (current: Pass, { lines, bytes }: Lines): RowBatch | null => {
    const rows: Row[] = [];
    const keys: (readonly string[])[] = [];
    const unreadable: RejectedRow[] = [];
    let cursor: string | null = null;
    for (const line of lines) {
      const fields = splitLine(line);
      const key = table.key.map((term) => fields[term.field] ?? '');
      cursor = table.cursor === null || current.phase === 'nulls' ? null : (fields[table.cursor.field] ?? null);
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
          payload: cutText(line),
          origin: originOf(table, key),
        });
      }
    }
    current.rowsInChunk += lines.length;
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
      const now = new Set(await currentWriters(session, options.oid));
      pass.writers = pass.writers.filter((writer) => now.has(writer));
      if (pass.writers.length > 0) {
        log.debug('Waiting for transactions that are writing to the table.', { table: table.name, transactions: pass.writers.length });
        await wait(100, undefined, { signal });
        return 'idle';
      }
    }
    pass.lines ??= readLines(session, chunkStatement(pass), options.maxRows, options.maxBytes);
    const read = await pass.lines.next();
    if (read.done !== true) return batchOf(pass, read.value) ?? 'again';
    pass.lines = null;
    const isWhole = pass.rowsInChunk < chunkRows;
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
        session?.client.connection.stream.destroy();
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

/** Epoch milliseconds of a timestamptz in UTC. */
const instantOf = (text: string): number | null => {
  const milliseconds = Date.parse(text.replace(' ', 'T').replace('+00', 'Z'));
  return Number.isNaN(milliseconds) ? null : milliseconds;
};

/** Cursor and key of the highest row; null when there is none. */
export const lastRow = async (session: Session, table: SourceTable, phase: Phase): Promise<string[] | null> => {
  const terms = table.cursor !== null && phase === 'rows' ? [table.cursor, ...table.key] : table.key;
  const condition = table.cursor === null ? '' : ` where ${table.cursor.sql} is ${phase === 'nulls' ? '' : 'not '}null`;
  const [row] = await session.query<Record<string, string>>(
    `select ${terms.map((term, index) => `(${term.sql})::text as k${index}`).join(', ')} from ${table.from}${condition} order by ${terms.map((term) => `${term.sql} desc`).join(', ')} limit 1`,
  );
  return row === undefined ? null : terms.map((_, index) => row[`k${index}`] ?? '');
};

export const originOf = (table: SourceTable, key: readonly string[]): Origin => ({
  table: table.name,
  ...Object.fromEntries(table.key.map((term, index) => [table.columns[term.field]?.name ?? 'row_md5', key[index] ?? ''])),
});

/** Whole lines of a COPY, gathered up to the bounds of a batch. */
async function* readLines(session: Session, statement: string, maxRows: number, maxBytes: number): AsyncGenerator<Lines> {
  const stream = session.client.query(copyTo(statement, { highWaterMark: 256 * 1024 }));
  let rest: Buffer = Buffer.alloc(0);
  let lines: string[] = [];
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    const chunk = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const end = chunk.lastIndexOf(0x0a);
    if (end < 0) {
      rest = chunk;
      continue;
    }
    rest = chunk.subarray(end + 1);
    const found = chunk.toString('utf8', 0, end).split('\n');
    lines = lines.length === 0 ? found : lines.concat(found);
    bytes += end + 1;
    while (lines.length >= maxRows) {
      const share = Math.ceil((bytes * maxRows) / lines.length);
      yield { lines: lines.slice(0, maxRows), bytes: share };
      lines = lines.slice(maxRows);
      bytes -= share;
    }
    if (bytes >= maxBytes) {
      yield { lines, bytes };
      lines = [];
      bytes = 0;
    }
  }
  if (lines.length > 0) yield { lines, bytes };
}
