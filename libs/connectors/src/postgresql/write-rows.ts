/**
 * Rows into the table by COPY: straight in when they are appended, by way of a temporary table and one INSERT … ON CONFLICT when they have a key.
 * When the server refuses the whole for the sake of some rows, those are found and the others written.
 */
import type { OpKind } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { copyIn } from './copy-in.ts';
import { encodeRow, requireWellFormed, UnwritableValue, type EncodeColumn } from './copy-text.ts';
import { qualified, quoteName, quoteNames } from './identifiers.ts';
import { foldOps, type FoldedOps } from '@tributary/connector-sdk/fold-ops';
import { isDataError, isKeyTwice } from './server-errors.ts';

export interface Destination {
  readonly schema: string;
  readonly table: string;
  /** In the order in which they are sent. */
  readonly columns: readonly EncodeColumn[];
  readonly primaryKey: readonly string[];
}

interface Statements {
  readonly copy: string;
  readonly merge: string | null;
}

interface Writer {
  /** Whole rows. */
  readonly upsert: Statements;
  /** Keys. */
  readonly remove: Statements;
  readonly keyColumns: readonly EncodeColumn[];
}

const stage = 'pg_temp."_tributary_stage"';
const removals = 'pg_temp."_tributary_removals"';

/** Makes the session's temporary tables for these columns; to be called again when the columns change. */
export const prepareWriter = async (session: Session, destination: Destination): Promise<Writer> => {
  const name = qualified(destination.schema, destination.table);
  const names = destination.columns.map((column) => column.name);
  const key = destination.primaryKey;
  const keyColumns = key.map((column) => destination.columns.find(({ name: other }) => other === column) as EncodeColumn);
  if (key.length === 0)
    return { upsert: { copy: `copy ${name} (${quoteNames(names)}) from stdin`, merge: null }, remove: { copy: '', merge: null }, keyColumns };
  await session.query(
    `drop table if exists ${stage}, ${removals};
     create temp table "_tributary_stage" on commit delete rows as select ${quoteNames(names)} from ${name} with no data;
     create temp table "_tributary_removals" on commit delete rows as select ${quoteNames(key)} from ${name} with no data`,
  );
  const others = names.filter((column) => !key.includes(column));
  const change =
    others.length === 0 ? 'do nothing' : `do update set ${others.map((column) => `${quoteName(column)} = excluded.${quoteName(column)}`).join(', ')}`;
  return {
    upsert: {
      copy: `copy ${stage} (${quoteNames(names)}) from stdin`,
      merge: `insert into ${name} (${quoteNames(names)}) select ${quoteNames(names)} from ${stage} on conflict (${quoteNames(key)}) ${change}`,
    },
    remove: {
      copy: `copy ${removals} (${quoteNames(key)}) from stdin`,
      merge: `delete from ${name} as t using ${removals} as r where ${key.map((column) => `t.${quoteName(column)} = r.${quoteName(column)}`).join(' and ')}`,
    },
    keyColumns,
  };
};

export type { Writer };

/** Index of a row → why it is refused. */
export type Refusals = Map<number, string>;

export interface WriteJob {
  readonly session: Session;
  readonly writer: Writer;
  readonly columns: readonly EncodeColumn[];
  readonly rows: readonly Row[];
  readonly ops: readonly OpKind[] | null;
  readonly folded: FoldedOps;
}

export const planWrite = (
  session: Session,
  writer: Writer,
  columns: readonly EncodeColumn[],
  rows: readonly Row[],
  ops: readonly OpKind[] | null,
  primaryKey: readonly string[],
): WriteJob => ({
  session,
  writer,
  columns,
  rows,
  ops,
  folded: foldOps(rows, ops, primaryKey),
});

/** All rows at once; throws when a single one is not taken. To be called in a transaction. */
export const writeAll = async ({ session, writer, columns, rows, folded }: WriteJob): Promise<void> => {
  if (folded.deletes.length > 0) await run(session, writer.remove, linesOf(writer.keyColumns, rows, folded.deletes));
  if (folded.upserts.length > 0) await run(session, writer.upsert, linesOf(columns, rows, folded.upserts));
};

/** Could one of the rows be the reason for this error, so that `writeSome` may find it? */
export const blamesRows = (error: unknown): boolean => error instanceof UnwritableValue || isDataError(error) || isKeyTwice(error);

/**
 * Writes every row that the server takes and gives the others. To be called in a transaction. Every row is sent a few times at most:
 * COPY names the line it stumbles over; where it does not, halves are tried.
 */
export const writeSome = async (job: WriteJob): Promise<Refusals> => {
  const { session, writer, rows, ops, folded } = job;
  const refusals: Refusals = new Map();
  const lines: string[] = [];
  const attempts: { readonly indexes: readonly number[]; readonly remove: boolean }[] = [];
  const tryEarlier = (index: number): void => {
    // I4: with the last op of a key refused, the one before it is the last.
    const before = folded.earlier.get(index);
    if (before === undefined) return;
    const [encoded] = encode([before], ops?.[before] === 'delete');
    if (encoded !== undefined) attempts.push({ indexes: [before], remove: ops?.[before] === 'delete' });
  };
  const refuse = (index: number, reason: string): void => {
    refusals.set(index, reason);
    tryEarlier(index);
  };
  const encode = (indexes: readonly number[], remove: boolean): number[] =>
    indexes.filter((index) => {
      try {
        lines[index] = encodeNamed(remove ? writer.keyColumns : job.columns, rows[index] as Row);
        return true;
      } catch (error) {
        if (!(error instanceof UnwritableValue)) throw error;
        refuse(index, error.message);
        return false;
      }
    });

  // A constraint that waits for the commit could not say which row it means.
  await session.query('set constraints all immediate');
  attempts.push({ indexes: encode(folded.upserts, false), remove: false }, { indexes: encode(folded.deletes, true), remove: true });
  for (let attempt = attempts.pop(); attempt !== undefined; attempt = attempts.pop()) {
    const { indexes, remove } = attempt;
    if (indexes.length === 0) continue;
    await session.query('savepoint rows');
    try {
      await run(
        session,
        remove ? writer.remove : writer.upsert,
        indexes.values().map((index) => lines[index] as string),
      );
      if (writer.upsert.merge !== null) await session.query(`truncate ${stage}, ${removals}`);
      await session.query('release savepoint rows');
    } catch (error) {
      if (!blamesRows(error)) throw error;
      await session.query('rollback to savepoint rows');
      const only = indexes.length === 1 ? indexes[0] : undefined;
      if (only !== undefined) {
        refuse(only, serverReason(error));
        continue;
      }
      const line = isDataError(error) ? copyLine(error.where) : undefined;
      const bad = line === undefined ? undefined : indexes[line - 1];
      if (line === undefined || bad === undefined) {
        const middle = Math.ceil(indexes.length / 2);
        attempts.push({ indexes: indexes.slice(middle), remove }, { indexes: indexes.slice(0, middle), remove });
      } else {
        attempts.push({ indexes: indexes.slice(line), remove }, { indexes: indexes.slice(0, line - 1), remove });
        refuse(bad, serverReason(error));
      }
    }
  }
  return refusals;
};

const run = async (session: Session, statements: Statements, lines: Iterable<string>): Promise<void> => {
  await copyIn(session, statements.copy, lines);
  if (statements.merge !== null) await session.query(statements.merge);
};

function* linesOf(columns: readonly EncodeColumn[], rows: readonly Row[], indexes: readonly number[]): Generator<string> {
  for (const index of indexes) yield encodeRow(columns, rows[index] as Row);
}

/** As `encodeRow`, but what is thrown names the column. */
const encodeNamed = (columns: readonly EncodeColumn[], row: Row): string => {
  try {
    return requireWellFormed(encodeRow(columns, row));
  } catch (error) {
    for (const column of columns) {
      try {
        requireWellFormed(column.encode(row[column.name]));
      } catch (inner) {
        if (inner instanceof UnwritableValue) throw new UnwritableValue(`Column "${column.name}": ${inner.reason}.`);
      }
    }
    throw error;
  }
};

/** `COPY orders, line 12, column size: "x"` → 12. */
const copyLine = (where: string | undefined): number | undefined => {
  const found = /^COPY .*, line (\d+)(?:[,:]|$)/m.exec(where ?? '');
  return found === null ? undefined : Number(found[1]);
};

const serverReason = (error: unknown): string => {
  if (!isDataError(error)) return messageOf(error);
  const column = error.column ?? /^COPY .*, line \d+, column (.*?)(?:: |$)/m.exec(error.where ?? '')?.[1];
  const message = column === undefined || error.message.includes(`"${column}"`) ? error.message : `Column "${column}": ${error.message}`;
  return [message, error.detail].flatMap((part) => (part === undefined ? [] : [`${part.replace(/\.$/, '')}.`])).join(' ');
};
