/** A table as it is read: what is selected, in which order, and how its values become rows. */
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { KeysetMark, KeysetPage, KeysetPhase, KeysetQuery, KeysetTable } from '@tributary/connector-sdk/keyset-reader';
import { cutText } from '@tributary/connector-sdk/payload';
import type { Row, StreamSchema } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { columnTypeOf } from './column-types.ts';
import type { SqliteSourceConfig } from './config.ts';
import { folded, quoted } from './database.ts';
import { decoderOf, type Decode } from './decode.ts';
import type { Found, Reading } from './reading.ts';
import { tableFrom, tableQuestions, type Table } from './table.ts';
import type { Stored } from './values.ts';

/** Rows and bytes of a page where the whole table has to be sorted for it. */
const sortedPage = { rows: 25_000, bytes: 16 * 1024 * 1024 };

/** A value as text that gives exactly the value back (I5). */
const writeMark = (value: Stored): string => {
  if (typeof value === 'string') return `t:${value}`;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? `i:${value}` : `r:${value}`;
  if (typeof value === 'bigint') return `i:${value}`;
  return value === null ? 'n:' : `b:${Buffer.from(value).toString('base64')}`;
};

const readMark = (text: string): Stored => {
  const rest = text.slice(2);
  switch (text.slice(0, 2)) {
    case 't:':
      return rest;
    case 'i:':
      return BigInt(rest);
    case 'r:':
      return Number(rest);
    case 'b:':
      return new Uint8Array(Buffer.from(rest, 'base64'));
    default:
      return null;
  }
};

/** A mark as people write the value. */
const show = (mark: string): string => mark.slice(2);

export const schemaOf = (name: string, table: Table): StreamSchema => ({
  stream: name,
  columns: table.columns.map((column) => ({ name: column.name, type: columnTypeOf(column.type), nullable: column.nullable })),
  primaryKey: table.primaryKey,
});

export const askTable = async (reading: Reading, name: string): Promise<Table | null> => {
  const kind = await reading.askAll(tableQuestions.kind, name);
  return kind.length === 0 ? null : tableFrom(kind, await reading.askAll(tableQuestions.columns, name), await reading.askAll(tableQuestions.uniques, name));
};

interface Term {
  readonly name: string;
  readonly sql: string;
  /** Place in a row as it is selected. */
  readonly field: number;
}

export interface SourceTable {
  readonly schema: StreamSchema;
  readonly cursor: (Term & { readonly nullable: boolean }) | null;
  readonly key: readonly Term[];
  readonly keyIsGiven: boolean;
  /** `SELECT … FROM …`, without order or limit. */
  readonly select: string;
  readonly from: string;
  readonly columns: readonly { readonly name: string; readonly decode: Decode }[];
}

const pickKey = (table: Table, config: SqliteSourceConfig): readonly string[] | null => {
  if (config.key_columns != null && config.key_columns.length > 0) return config.key_columns;
  const required = new Set(table.columns.filter((column) => !column.nullable).map((column) => folded(column.name)));
  return table.uniqueKeys.find((key) => key.every((name) => required.has(folded(name)))) ?? null;
};

/** @throws CONFIG_INVALID when a column is not there, or nothing tells rows apart. */
export const sourceTable = (name: string, table: Table, config: SqliteSourceConfig): SourceTable => {
  const term = (setting: string, column: string): Term => {
    const field = table.columns.findIndex((other) => folded(other.name) === folded(column));
    if (field < 0)
      throw new TributaryError(
        'CONFIG_INVALID',
        `${setting}: table "${name}" has no column "${column}". It has: ${table.columns.map((other) => other.name).join(', ')}.`,
      );
    return { name: table.columns[field]?.name ?? column, sql: quoted(table.columns[field]?.name ?? column), field };
  };
  const keyNames = pickKey(table, config);
  const names = new Set(table.columns.map((column) => folded(column.name)));
  const rowid = ['rowid', '_rowid_', 'oid'].find((alias) => !names.has(alias));
  if (keyNames === null && (!table.hasRowid || rowid === undefined))
    throw new TributaryError(
      'CONFIG_INVALID',
      `key_columns: "${name}" is a ${table.isView ? 'view' : 'table without a key'}, so reading could not go on exactly where it stopped. Name the columns that tell its rows apart.`,
    );
  const key = keyNames?.map((column) => term('key_columns', column)) ?? [{ name: 'rowid', sql: rowid ?? 'rowid', field: table.columns.length }];
  const cursor = config.cursor_column == null ? null : term('cursor_column', config.cursor_column);
  const selected = table.columns.map((column) => quoted(column.name));
  if (keyNames === null) selected.push(rowid ?? 'rowid');
  const from = quoted(name);
  return {
    schema: schemaOf(name, table),
    cursor: cursor === null ? null : { ...cursor, nullable: table.columns[cursor.field]?.nullable ?? true },
    key,
    keyIsGiven: config.key_columns != null && config.key_columns.length > 0,
    select: `SELECT ${selected.join(', ')} FROM ${from}`,
    from,
    columns: table.columns.map((column) => ({ name: column.name, decode: decoderOf(column.type) })),
  };
};

/** null when a value is not what its column promises. */
export const rowOf = (table: Pick<SourceTable, 'columns'>, values: readonly Stored[]): Row | null => {
  const row: Row = {};
  for (let index = 0; index < table.columns.length; index += 1) {
    const column = table.columns[index] as SourceTable['columns'][number];
    const value = values[index] ?? null;
    if (value === null) {
      row[column.name] = null;
      continue;
    }
    const decoded = column.decode(value);
    if (decoded === undefined) return null;
    row[column.name] = decoded;
  }
  return row;
};

const unreadable = (table: SourceTable, values: readonly Stored[]): { readonly reason: string; readonly payload: string } => {
  const bad = table.columns.findIndex(({ decode }, index) => values[index] != null && decode(values[index]) === undefined);
  const type = table.schema.columns?.[bad]?.type?.kind ?? 'value';
  return {
    reason: `Column "${table.columns[bad]?.name}": ${cutText(stringifyExact(values[bad]), 200)} is no ${type}.`,
    payload: cutText(stringifyExact(Object.fromEntries(table.columns.map(({ name }, index) => [name, values[index] ?? null])))),
  };
};

const termsOf = (table: SourceTable, phase: KeysetPhase): readonly Term[] =>
  table.cursor !== null && phase === 'rows' ? [table.cursor, ...table.key] : table.key;

const compare = (terms: readonly Term[], operator: string): string =>
  terms.length === 1 ? `${terms[0]?.sql} ${operator} ?` : `(${terms.map(({ sql }) => sql).join(', ')}) ${operator} (${terms.map(() => '?').join(', ')})`;

const conditionsOf = (table: SourceTable, phase: KeysetPhase, behind: KeysetMark | null): { conditions: string[]; parameters: Stored[] } => {
  const conditions = table.cursor === null ? [] : [`${table.cursor.sql} IS ${phase === 'nulls' ? '' : 'NOT '}NULL`];
  if (behind !== null) conditions.push(compare(termsOf(table, phase), '>'));
  return { conditions, parameters: (behind ?? []).map(readMark) };
};

const where = (conditions: readonly string[]): string => (conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`);

const queryOf = (table: SourceTable, query: KeysetQuery): { sql: string; parameters: Stored[] } => {
  const terms = termsOf(table, query.phase);
  const { conditions, parameters } = conditionsOf(table, query.phase, query.behind);
  if (query.fromCursor !== null && table.cursor !== null) {
    conditions.push(`${table.cursor.sql} >= ?`);
    parameters.push(readMark(query.fromCursor));
  }
  conditions.push(compare(terms, '<='));
  parameters.push(...query.upTo.map(readMark));
  return { sql: `${table.select}${where(conditions)} ORDER BY ${terms.map(({ sql }) => sql).join(', ')}`, parameters };
};

const pageOf = (table: SourceTable, phase: KeysetPhase, found: Found): KeysetPage => {
  const { rows, sizes, isFull } = found;
  const valuesAt = (index: number): readonly Stored[] => rows[index] ?? [];
  const cursorField = phase === 'nulls' ? null : (table.cursor?.field ?? null);
  return {
    count: rows.length,
    isFull,
    bytesAt: (index) => sizes[index] ?? 0,
    rowAt: (index) => rowOf(table, valuesAt(index)),
    unreadableAt: (index) => unreadable(table, valuesAt(index)),
    cursorAt: (index) => (cursorField === null ? null : writeMark(valuesAt(index)[cursorField] ?? null)),
    keyAt: (index) => {
      const values = valuesAt(index);
      return table.key.map((term) => {
        const value = values[term.field] ?? null;
        if (value === null)
          throw new TributaryError('CONFIG_INVALID', `Key column "${term.name}" of "${table.schema.stream}" is null in a row, so it is no key.`);
        return writeMark(value);
      });
    },
  };
};

export const keysetTable = (table: SourceTable, reading: Reading): KeysetTable => {
  const name = table.schema.stream;
  let isSorted: boolean | null = null;
  /** Has SQLite to sort all rows for a page, for want of an index? */
  const needsSort = async (sql: string, parameters: readonly Stored[]): Promise<boolean> => {
    const plan = await reading.askAll(`EXPLAIN QUERY PLAN ${sql}`, ...parameters);
    return plan.some((step) => String(step['detail']).includes('TEMP B-TREE'));
  };
  return {
    name,
    schema: table.schema,
    what: 'an SQLite table',
    cursor: table.cursor,
    keyNames: table.key.map((term) => term.name),
    keyIsGiven: table.keyIsGiven,
    last: async (phase) => {
      const terms = termsOf(table, phase);
      const { conditions } = conditionsOf(table, phase, null);
      const sql = `SELECT ${terms.map((term) => term.sql).join(', ')} FROM ${table.from}${where(conditions)} ORDER BY ${terms.map((term) => `${term.sql} DESC`).join(', ')} LIMIT 1`;
      const { rows } = await reading.ask({ sql, parameters: [], maxRows: 2, maxBytes: 1 << 28 });
      return rows[0]?.map(writeMark) ?? null;
    },
    page: async (query) => {
      const { sql, parameters } = queryOf(table, query);
      isSorted ??= await needsSort(sql, parameters);
      const maxRows = isSorted ? Math.max(sortedPage.rows, query.maxRows) : query.maxRows;
      const maxBytes = isSorted ? Math.max(sortedPage.bytes, query.maxBytes) : query.maxBytes;
      // One row more tells that there are more; with a limit a sort keeps only what is wanted.
      const question = { sql: `${sql} LIMIT ?`, parameters: [...parameters, maxRows + 1], maxRows, maxBytes };
      return pageOf(table, query.phase, await reading.ask(question));
    },
    timeOf: (cursor) => {
      const text = show(cursor);
      const milliseconds = cursor.startsWith('t:') && /^\d{4}-\d\d-\d\d[T ].*Z$/.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN;
      return Number.isNaN(milliseconds) ? null : milliseconds;
    },
  };
};

/** Rows behind a mark, counted up to `limit`. */
export const countBehind = async (table: SourceTable, reading: Reading, behind: KeysetMark | null, limit: number): Promise<number> => {
  const { conditions, parameters } = conditionsOf(table, 'rows', behind);
  const sql = `SELECT count(*) AS count FROM (SELECT 1 FROM ${table.from}${where(conditions)} LIMIT ${limit})`;
  const [row] = await reading.askAll(sql, ...parameters);
  return Number(row?.['count'] ?? 0);
};

/** Up to `limit` of the newest rows; what cannot be read is left out. */
export const newestRows = async (table: SourceTable, reading: Reading, limit: number): Promise<Row[]> => {
  const order = table.cursor === null ? table.key : [table.cursor, ...table.key];
  const sql = `${table.select} ORDER BY ${order.map((term) => `${term.sql} DESC`).join(', ')} LIMIT ${Math.max(1, Math.floor(limit))}`;
  const { rows } = await reading.ask({ sql, parameters: [], maxRows: limit, maxBytes: 1 << 26 });
  return rows.map((values) => rowOf(table, values)).filter((row) => row !== null);
};
