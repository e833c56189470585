/**
 * Rows into the table: straight in when they are appended, by way of a temporary table and one INSERT … ON DUPLICATE KEY UPDATE when they have a key.
 * When the server refuses the whole for the sake of some rows, those are found and the others written.
 */
import type { OpKind } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { quoteName, quoteNames } from './identifiers.ts';
import { insertRows, loadRows, RefusedInsert, type Fields } from './load-data.ts';
import { foldOps, type FoldedOps } from '@tributary/connector-sdk/fold-ops';
import { isDataError } from './server-errors.ts';
import type { TableShape } from './table-shape.ts';
import { changeTable } from './transaction.ts';
import { isExactKey } from './types.ts';
import { encodeFields, UnwritableValue, type EncodeColumn } from './values.ts';

export interface Destination {
  readonly table: string;
  readonly shape: TableShape;
  /** In the order in which they are sent. */
  readonly columns: readonly EncodeColumn[];
  readonly primaryKey: readonly string[];
}

interface Way {
  readonly columns: readonly EncodeColumn[];
  /** Quoted: the temporary table, or the table itself. */
  readonly into: string;
  /** Makes the temporary table anew, and so empties it. */
  readonly stage: readonly string[];
  readonly merge: readonly string[];
}

export interface Writer {
  /** Whole rows. */
  readonly upsert: Way;
  /** Keys. */
  readonly remove: Way;
  /** Keys that differ to us differ to the server. */
  readonly keyIsExact: boolean;
  /** The table has other unique indexes: see `prepareWriter`. */
  readonly twoSteps: boolean;
}

const stage = quoteName('_tributary_stage');
const place = quoteName('_tributary_place');

export const prepareWriter = (destination: Destination): Writer => {
  const { shape, columns, primaryKey: key } = destination;
  const name = quoteName(destination.table);
  const names = columns.map((column) => column.name);
  const keyColumns = key.map((column) => columns.find(({ name: other }) => other === column) as EncodeColumn);
  if (key.length === 0) {
    const way: Way = { columns, into: name, stage: [], merge: [] };
    return { upsert: way, remove: way, keyIsExact: true, twoSteps: false };
  }
  const typeOf = (column: string) => shape.columns.find(({ name: other }) => other === column)?.type;
  const staged = (wanted: readonly string[]): string[] => {
    const lines = wanted.map((column) => {
      const type = typeOf(column);
      // Documents are checked when they reach the table.
      const sql = type?.name === 'json' ? 'longtext' : (type?.sql ?? 'longtext');
      const collation = type?.name === 'json' ? 'utf8mb4_bin' : (type?.collation ?? null);
      return `${quoteName(column)} ${sql}${collation === null ? '' : ` collate ${collation}`} null`;
    });
    return [
      `drop temporary table if exists ${stage}`,
      `create temporary table ${stage} (${place} bigint not null auto_increment primary key, ${lines.join(', ')}) engine = InnoDB row_format = dynamic`,
    ];
  };
  const sameKey = (one: string, other: string): string => key.map((column) => `${one}.${quoteName(column)} = ${other}.${quoteName(column)}`).join(' and ');
  const others = names.filter((column) => !key.includes(column));
  const first = quoteName(key[0] ?? '');
  const select = `select ${names.map((column) => `s.${quoteName(column)}`).join(', ')} from ${stage} as s`;
  // ON DUPLICATE KEY would change the row that has the value of *any* unique index: with another one beside the key, that may be another row.
  const twoSteps = shape.uniqueIndexes > 1;
  const changes = others.map((column) => `t.${quoteName(column)} = s.${quoteName(column)}`).join(', ');
  const merge = twoSteps
    ? [
        ...(others.length === 0 ? [] : [`update ${name} as t join ${stage} as s on ${sameKey('t', 's')} set ${changes}`]),
        `insert into ${name} (${quoteNames(names)}) ${select} left join ${name} as t on ${sameKey('t', 's')} where t.${first} is null order by s.${place}`,
      ]
    : [
        `insert into ${name} (${quoteNames(names)}) ${select} order by s.${place} on duplicate key update ${
          others.length === 0
            ? `${name}.${first} = ${name}.${first}`
            : others.map((column) => `${name}.${quoteName(column)} = s.${quoteName(column)}`).join(', ')
        }`,
      ];
  return {
    upsert: { columns, into: stage, stage: staged(names), merge },
    remove: { columns: keyColumns, into: stage, stage: staged(key), merge: [`delete t from ${name} as t join ${stage} as s on ${sameKey('t', 's')}`] },
    keyIsExact: key.every((column) => {
      const type = typeOf(column);
      return type !== undefined && isExactKey(type);
    }),
    twoSteps,
  };
};

/** Index of a row → why it is refused. */
export type Refusals = Map<number, string>;

interface Segment {
  readonly remove: boolean;
  readonly indexes: readonly number[];
}

export interface WriteJob {
  readonly session: Session;
  readonly writer: Writer;
  readonly rows: readonly Row[];
  readonly ops: readonly OpKind[] | null;
  readonly folded: FoldedOps;
}

export const planWrite = (session: Session, writer: Writer, rows: readonly Row[], ops: readonly OpKind[] | null, primaryKey: readonly string[]): WriteJob => ({
  session,
  writer,
  rows,
  ops,
  folded: foldOps(rows, ops, primaryKey),
});

/**
 * I4: what is written one after the other. Deletes and upserts of different keys may change places; where the server may take two keys for one
 * that differ to us, such as `A` and `a`, or 1.0 and 1.00, they may not.
 */
const segmentsOf = ({ writer, folded }: WriteJob): Segment[] => {
  if (writer.keyIsExact) {
    return [
      { remove: true, indexes: folded.deletes },
      { remove: false, indexes: folded.upserts },
    ];
  }
  const removed = new Set(folded.deletes);
  const segments: { remove: boolean; indexes: number[] }[] = [];
  for (const index of [...folded.deletes, ...folded.upserts].sort((one, other) => one - other)) {
    const last = segments.at(-1);
    // Of two staged rows for one row of the table an UPDATE would take any.
    if (last?.remove === removed.has(index) && !writer.twoSteps) last.indexes.push(index);
    else segments.push({ remove: removed.has(index), indexes: [index] });
  }
  return segments;
};

/** All rows at once; throws when a single one is not taken. To be called in a transaction. */
export const writeAll = async (job: WriteJob): Promise<void> => {
  const { session, writer, rows } = job;
  for (const { remove, indexes } of segmentsOf(job)) {
    if (indexes.length === 0) continue;
    const way = remove ? writer.remove : writer.upsert;
    const fields = indexes.map((index) => encodeFields(way.columns, rows[index] as Row, session.server.maxPacket));
    await (session.server.localInfile ? run(session, way, fields, loadRows) : run(session, way, fields, insertRows));
  }
};

/** Could one of the rows be the reason for this error, so that `writeSome` may find it? */
export const blamesRows = (error: unknown): boolean =>
  error instanceof UnwritableValue || isDataError(error) || (error instanceof RefusedInsert && isDataError(error.cause));

/**
 * Writes every row that the server takes and gives the others. To be called in a transaction. Every row is sent a few times at most:
 * most errors name the row; where one does not, halves are tried.
 */
export const writeSome = async (job: WriteJob): Promise<Refusals> => {
  const { session, writer, rows, ops, folded } = job;
  const refusals: Refusals = new Map();
  const encoded: Fields[] = [];
  const attempts: Segment[] = [];
  const refuse = (index: number, reason: string): void => {
    refusals.set(index, reason);
    // I4: with the last op of a key refused, the one before it is the last.
    const before = folded.earlier.get(index);
    if (before === undefined) return;
    const remove = ops?.[before] === 'delete';
    const taken = encode([before], remove);
    if (taken.length > 0) attempts.push({ indexes: taken, remove });
  };
  const encode = (indexes: readonly number[], remove: boolean): number[] =>
    indexes.filter((index) => {
      try {
        encoded[index] = encodeFields((remove ? writer.remove : writer.upsert).columns, rows[index] as Row, session.server.maxPacket);
        return true;
      } catch (error) {
        if (!(error instanceof UnwritableValue)) throw error;
        refuse(index, error.message);
        return false;
      }
    });

  const planned = segmentsOf(job).map(({ remove, indexes }) => ({ remove, indexes: encode(indexes, remove) }));
  attempts.push(...planned.reverse());
  for (let attempt = attempts.pop(); attempt !== undefined; attempt = attempts.pop()) {
    const { indexes, remove } = attempt;
    if (indexes.length === 0) continue;
    const way = remove ? writer.remove : writer.upsert;
    await session.query('savepoint tributary_rows');
    try {
      await run(
        session,
        way,
        indexes.map((index) => encoded[index] as Fields),
        insertRows,
      );
      await session.query('release savepoint tributary_rows');
    } catch (error) {
      if (!blamesRows(error)) throw error;
      await session.query('rollback to savepoint tributary_rows');
      const only = indexes.length === 1 ? indexes[0] : undefined;
      const named = error instanceof RefusedInsert ? error.row : undefined;
      const bad = only ?? (named === undefined ? undefined : indexes[named]);
      if (bad === undefined) {
        const middle = Math.ceil(indexes.length / 2);
        attempts.push({ indexes: indexes.slice(middle), remove }, { indexes: indexes.slice(0, middle), remove });
        continue;
      }
      const at = only === undefined ? (named ?? 0) : 0;
      attempts.push({ indexes: indexes.slice(at + 1), remove }, { indexes: indexes.slice(0, at), remove });
      refuse(bad, reasonOf(error));
    }
  }
  return refusals;
};

const run = async (session: Session, way: Way, fields: readonly Fields[], send: typeof loadRows): Promise<void> => {
  for (const statement of way.stage) await changeTable(session, statement);
  await send(session, way.into, way.columns, fields);
  for (const statement of way.merge) await session.run(statement);
};

/** The server's sentence; the number of the row in our statement means nothing to anybody. */
const reasonOf = (error: unknown): string => {
  const message = messageOf(error instanceof RefusedInsert ? error.cause : error).replace(/ at row \d+$/, '');
  return message.endsWith('.') ? message : `${message}.`;
};
