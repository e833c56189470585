/**
 * A table or view as it is read. Every value comes as number, boolean, bytes or DuckDB's own text for it (I5), the text in UTC, and a pass
 * over the table is one ordered query whose chunks are taken as they are asked for: DuckDB has no index to find the next page by.
 */
import { DuckDBBlobValue, type DuckDBConnection, type DuckDBResult, type DuckDBValue } from '@duckdb/node-api';
import { parseExact, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { KeysetMark, KeysetPage, KeysetPhase, KeysetQuery, KeysetTable } from '@tributary/connector-sdk/keyset-reader';
import { cutText } from '@tributary/connector-sdk/payload';
import type { ColumnType, Row, StreamSchema, Value } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { DuckdbSourceConfig } from './config.ts';
import { quoted } from './database.ts';
import { folded, tableName, type Table, type TableColumn } from './table.ts';

type Decode = (value: Exclude<DuckDBValue, null>) => Value | undefined;

interface Reading {
  readonly type: ColumnType;
  /** What is selected for the column named by `name`, quoted. */
  readonly select: (name: string) => string;
  readonly decode: Decode;
}

const plainColumn = (name: string): string => name;
const asText = (name: string): string => `CAST(${name} AS VARCHAR)`;

const integer: Decode = (value) => {
  if (typeof value !== 'bigint') return typeof value === 'number' ? value : undefined;
  return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value;
};
const number: Decode = (value) => (typeof value === 'number' ? value : undefined);
const text: Decode = (value) => (typeof value === 'string' ? value : undefined);
const matching =
  (pattern: RegExp, write: (value: string) => string): Decode =>
  (value) =>
    typeof value === 'string' && pattern.test(value) ? write(value) : undefined;
const document: Decode = (value) => {
  try {
    return typeof value === 'string' ? parseExact(value) : undefined;
  } catch {
    return undefined;
  }
};

const withT = (value: string): string => value.replace(' ', 'T');
const day = String.raw`\d{4,6}-\d\d-\d\d`;
const clock = String.raw`\d\d:\d\d:\d\d(\.\d+)?`;
const dates = matching(new RegExp(`^${day}$`), (value) => value);
const times = matching(new RegExp(`^${clock}$`), (value) => value);
const moments = matching(new RegExp(`^${day} ${clock}$`), withT);
const instants = matching(new RegExp(`^${day} ${clock}\\+00$`), (value) => withT(value).replace('+00', 'Z'));

const readings: Readonly<Record<string, Reading>> = {
  BOOLEAN: { type: { kind: 'BOOLEAN' }, select: plainColumn, decode: (value) => (typeof value === 'boolean' ? value : undefined) },
  TINYINT: { type: { kind: 'SHORT' }, select: plainColumn, decode: number },
  UTINYINT: { type: { kind: 'SHORT' }, select: plainColumn, decode: number },
  SMALLINT: { type: { kind: 'SHORT' }, select: plainColumn, decode: number },
  USMALLINT: { type: { kind: 'INT' }, select: plainColumn, decode: number },
  INTEGER: { type: { kind: 'INT' }, select: plainColumn, decode: number },
  UINTEGER: { type: { kind: 'LONG' }, select: plainColumn, decode: integer },
  BIGINT: { type: { kind: 'LONG' }, select: plainColumn, decode: integer },
  UBIGINT: { type: { kind: 'DECIMAL', precision: 20, scale: 0 }, select: asText, decode: text },
  HUGEINT: { type: { kind: 'DECIMAL', precision: 39, scale: 0 }, select: asText, decode: text },
  UHUGEINT: { type: { kind: 'DECIMAL', precision: 39, scale: 0 }, select: asText, decode: text },
  FLOAT: { type: { kind: 'FLOAT' }, select: plainColumn, decode: number },
  DOUBLE: { type: { kind: 'DOUBLE' }, select: plainColumn, decode: number },
  DATE: { type: { kind: 'NAIVE_DATE' }, select: asText, decode: dates },
  TIME: { type: { kind: 'NAIVE_TIME' }, select: asText, decode: times },
  TIMESTAMP: { type: { kind: 'NAIVE_DATETIME' }, select: asText, decode: moments },
  TIMESTAMP_S: { type: { kind: 'NAIVE_DATETIME' }, select: asText, decode: moments },
  TIMESTAMP_MS: { type: { kind: 'NAIVE_DATETIME' }, select: asText, decode: moments },
  TIMESTAMP_NS: { type: { kind: 'NAIVE_DATETIME' }, select: asText, decode: moments },
  'TIMESTAMP WITH TIME ZONE': { type: { kind: 'UTC_DATETIME' }, select: asText, decode: instants },
  BLOB: { type: { kind: 'BINARY' }, select: plainColumn, decode: (value) => (value instanceof DuckDBBlobValue ? new Uint8Array(value.bytes) : undefined) },
  VARCHAR: { type: { kind: 'STRING' }, select: plainColumn, decode: text },
  JSON: { type: { kind: 'JSON' }, select: plainColumn, decode: document },
};

const isNested = (type: string): boolean => /\]$|^(STRUCT|MAP|UNION|VARIANT)\b/.test(type);

const readingOf = (type: string): Reading => {
  const known = readings[type];
  if (known !== undefined) return known;
  const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(type);
  if (decimal !== null) return { type: { kind: 'DECIMAL', precision: Number(decimal[1]), scale: Number(decimal[2]) }, select: asText, decode: text };
  if (isNested(type)) return { type: { kind: 'JSON' }, select: (name) => `CAST(to_json(${name}) AS VARCHAR)`, decode: document };
  // UUID, ENUM, INTERVAL, BIT and whatever else there will be.
  return { type: { kind: 'STRING' }, select: asText, decode: text };
};

interface Term {
  readonly name: string;
  readonly sql: string;
  /** For a cast of the mark's text back to the value. */
  readonly type: string;
  readonly field: number;
}

export interface SourceTable {
  readonly schema: StreamSchema;
  readonly cursor: (Term & { readonly nullable: boolean }) | null;
  readonly key: readonly Term[];
  readonly keyIsGiven: boolean;
  readonly from: string;
  /** What is selected, of rows in order. */
  readonly selected: string;
  /** What the ordered rows have to hold. */
  readonly inner: string;
  readonly columns: readonly { readonly name: string; readonly type: ColumnType; readonly decode: Decode }[];
}

/** `primaryKey` as DuckDB has it; `isView`: there is no rowid. */
export interface TableKeys {
  readonly primaryKey: readonly string[];
  readonly isView: boolean;
}

export const readKeys = async (connection: DuckDBConnection, schema: string, table: string): Promise<TableKeys> => {
  const where = 'database_name = current_database() AND schema_name = $schema AND table_name = $table';
  const views = await connection.runAndReadAll(`SELECT count(*) FROM duckdb_views() WHERE ${where.replace('table_name', 'view_name')}`, { schema, table });
  const keys = await connection.runAndReadAll(
    `SELECT to_json(constraint_column_names)::VARCHAR FROM duckdb_constraints() WHERE ${where} AND constraint_type = 'PRIMARY KEY'`,
    { schema, table },
  );
  const [names] = keys.getRows()[0] ?? [];
  return { primaryKey: typeof names === 'string' ? (JSON.parse(names) as string[]) : [], isView: views.getRows()[0]?.[0] !== 0n };
};

export const schemaOf = (name: string, table: Table, { primaryKey }: TableKeys): StreamSchema => ({
  stream: name,
  columns: table.columns.map((column) => ({ name: column.name, type: readingOf(column.type).type, nullable: column.nullable })),
  primaryKey,
});

/** @throws CONFIG_INVALID when a column is not there, or nothing tells rows apart. */
export const sourceTable = (name: string, table: Table, keys: TableKeys, config: DuckdbSourceConfig): SourceTable => {
  const find = (setting: string, wanted: string): { column: TableColumn; field: number } => {
    const field = table.columns.findIndex((column) => folded(column.name) === folded(wanted));
    const column = table.columns[field];
    if (column === undefined)
      throw new TributaryError(
        'CONFIG_INVALID',
        `${setting}: table "${name}" has no column "${wanted}". It has: ${table.columns.map((other) => other.name).join(', ')}.`,
      );
    if (isNested(column.type) || column.type === 'BLOB')
      throw new TributaryError('UNSUPPORTED', `Column "${column.name}" of table "${name}" is ${column.type}, which cannot be a key or cursor to read by.`);
    return { column, field };
  };
  const term = (setting: string, wanted: string): Term & { readonly nullable: boolean } => {
    const { column, field } = find(setting, wanted);
    return { name: column.name, sql: quoted(column.name), type: column.type, field, nullable: column.nullable };
  };
  const given = config.key_columns != null && config.key_columns.length > 0 ? config.key_columns : null;
  const keyNames = given ?? (keys.primaryKey.length > 0 ? keys.primaryKey : null);
  if (keyNames === null && (keys.isView || table.columns.some((column) => folded(column.name) === 'rowid')))
    throw new TributaryError(
      'CONFIG_INVALID',
      `key_columns: "${name}" is a ${keys.isView ? 'view' : 'table without a key'}, so reading could not go on exactly where it stopped. Name the columns that tell its rows apart.`,
    );
  const selected = table.columns.map((column) => readingOf(column.type).select(quoted(column.name)));
  if (keyNames === null) selected.push('rowid');
  return {
    schema: schemaOf(name, table, keys),
    cursor: config.cursor_column == null ? null : term('cursor_column', config.cursor_column),
    key: keyNames?.map((wanted) => term('key_columns', wanted)) ?? [{ name: 'rowid', sql: 'rowid', type: 'BIGINT', field: table.columns.length }],
    keyIsGiven: given !== null,
    from: tableName({ schema: config.schema, table: name }),
    selected: selected.join(', '),
    inner: keyNames === null ? '*, rowid' : '*',
    columns: table.columns.map(({ name: column, type }) => ({ name: column, type: readingOf(type).type, decode: readingOf(type).decode })),
  };
};

/** null when a value is not what its column promises, such as a date before Christ. */
export const rowOf = (table: SourceTable, values: readonly DuckDBValue[]): Row | null => {
  const row: Row = {};
  for (let index = 0; index < table.columns.length; index += 1) {
    const column = table.columns[index] as SourceTable['columns'][number];
    const value = values[index] ?? null;
    const decoded = value === null ? null : column.decode(value);
    if (decoded === undefined) return null;
    row[column.name] = decoded;
  }
  return row;
};

const unreadable = (table: SourceTable, values: readonly DuckDBValue[]): { readonly reason: string; readonly payload: string } => {
  const shown = values.map((value) => (value instanceof DuckDBBlobValue ? value.bytes : value));
  const bad = table.columns.findIndex(({ decode }, index) => values[index] != null && decode(values[index]) === undefined);
  return {
    reason: `Column "${table.columns[bad]?.name}": ${cutText(stringifyExact(shown[bad]), 200)} is no ${table.columns[bad]?.type.kind}.`,
    payload: cutText(stringifyExact(Object.fromEntries(table.columns.map(({ name }, index) => [name, shown[index] ?? null])))),
  };
};

const termsOf = (table: SourceTable, phase: KeysetPhase): readonly Term[] =>
  table.cursor !== null && phase === 'rows' ? [table.cursor, ...table.key] : table.key;

/** `a >= x AND (a > x OR (b > y))`: the first condition alone lets DuckDB skip row groups by their lowest and highest value. */
const compare = (terms: readonly Term[], operator: '>' | '<', orEqual: boolean, parameter: (index: number) => string, from = 0): string => {
  const term = terms[from];
  if (term === undefined) return orEqual ? 'true' : 'false';
  const value = parameter(from);
  if (from === terms.length - 1) return `${term.sql} ${operator}${orEqual ? '=' : ''} ${value}`;
  return `(${term.sql} ${operator}= ${value} AND (${term.sql} ${operator} ${value} OR ${compare(terms, operator, orEqual, parameter, from + 1)}))`;
};

interface Conditions {
  readonly sql: string;
  readonly parameters: string[];
}

const conditionsOf = (table: SourceTable, phase: KeysetPhase, bounds: Partial<Pick<KeysetQuery, 'behind' | 'fromCursor' | 'upTo'>>): Conditions => {
  const terms = termsOf(table, phase);
  const parameters: string[] = [];
  const conditions = table.cursor === null ? [] : [`${table.cursor.sql} IS ${phase === 'nulls' ? '' : 'NOT '}NULL`];
  const bind = (mark: KeysetMark): ((index: number) => string) => {
    const first = parameters.length;
    parameters.push(...mark);
    return (index) => `CAST($${first + index + 1} AS ${terms[index]?.type})`;
  };
  if (bounds.behind != null) conditions.push(compare(terms, '>', false, bind(bounds.behind)));
  if (bounds.fromCursor != null && table.cursor !== null) conditions.push(compare([table.cursor], '>', true, bind([bounds.fromCursor])));
  if (bounds.upTo !== undefined) conditions.push(compare(terms, '<', true, bind(bounds.upTo)));
  return { sql: conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`, parameters };
};

const ordered = (table: SourceTable, terms: readonly Term[], where: string, order: '' | ' DESC', limit = ''): string =>
  `SELECT ${table.selected} FROM (SELECT ${table.inner} FROM ${table.from}${where} ORDER BY ${terms.map(({ sql }) => `${sql}${order}`).join(', ')}${limit})`;

const markOf = (table: SourceTable, term: Term, values: readonly DuckDBValue[]): string => {
  const value = values[term.field] ?? null;
  if (value === null) throw new TributaryError('CONFIG_INVALID', `Key column "${term.name}" of "${table.schema.stream}" is null in a row, so it is no key.`);
  return String(value);
};

const sizeOf = (values: readonly DuckDBValue[]): number => {
  let size = 0;
  for (const value of values) size += typeof value === 'string' ? value.length + 2 : value instanceof DuckDBBlobValue ? value.bytes.length + 2 : 8;
  return size;
};

const pageOf = (table: SourceTable, phase: KeysetPhase, rows: readonly (readonly DuckDBValue[])[], isFull: boolean): KeysetPage => {
  const valuesAt = (index: number): readonly DuckDBValue[] => rows[index] ?? [];
  const cursor = phase === 'nulls' ? null : table.cursor;
  return {
    count: rows.length,
    isFull,
    bytesAt: (index) => sizeOf(valuesAt(index)),
    rowAt: (index) => rowOf(table, valuesAt(index)),
    unreadableAt: (index) => unreadable(table, valuesAt(index)),
    cursorAt: (index) => (cursor === null ? null : markOf(table, cursor, valuesAt(index))),
    keyAt: (index) => table.key.map((term) => markOf(table, term, valuesAt(index))),
  };
};

/** The rest of a pass: goes on where its last page ended. */
interface OpenPass {
  readonly result: DuckDBResult;
  readonly connection: DuckDBConnection;
  readonly upTo: string;
  /** Of the last row that was taken. */
  last: string;
  /** Rows of the last chunk beyond the last page. */
  rest: DuckDBValue[][];
}

/** `connect` gives the connection that is open now, or opens one. */
export const keysetTable = (
  table: SourceTable,
  connect: () => Promise<DuckDBConnection>,
): { readonly table: KeysetTable; readonly forget: () => Promise<void> } => {
  let pass: OpenPass | null = null;

  const open = async (query: KeysetQuery): Promise<OpenPass> => {
    const { sql, parameters } = conditionsOf(table, query.phase, query);
    const connection = await connect();
    const result = await connection.stream(ordered(table, termsOf(table, query.phase), sql, ''), parameters);
    return { result, connection, upTo: JSON.stringify(query.upTo), last: '', rest: [] };
  };

  /** A result that fails half way ends without an error; so where it did not end with the last row, is that row gone, or are rows missing? */
  const refuseGap = async ({ connection, last, upTo }: OpenPass, query: KeysetQuery): Promise<void> => {
    if (last === upTo) return;
    const rest = last === '' ? query : { behind: JSON.parse(last) as string[], upTo: query.upTo };
    const { sql, parameters } = conditionsOf(table, query.phase, rest);
    const found = await connection.runAndReadAll(`SELECT count(*) FROM (SELECT 1 FROM ${table.from}${sql} LIMIT 1)`, parameters);
    if (found.getRows()[0]?.[0] !== 0n) throw new TributaryError('SOURCE_FAILED', `Reading table "${table.schema.stream}" of DuckDB stopped half way.`);
  };

  const keyset: KeysetTable = {
    name: table.schema.stream,
    schema: table.schema,
    what: 'a DuckDB table',
    cursor: table.cursor,
    keyNames: table.key.map((term) => term.name),
    keyIsGiven: table.keyIsGiven,
    last: async (phase) => {
      const terms = termsOf(table, phase);
      const found = await (await connect()).runAndReadAll(ordered(table, terms, conditionsOf(table, phase, {}).sql, ' DESC', ' LIMIT 1'));
      const [values] = found.getRows();
      return values === undefined ? null : terms.map((term) => markOf(table, term, values));
    },
    page: async (query) => {
      const goesOn = pass !== null && query.behind !== null && pass.last === JSON.stringify(query.behind) && pass.upTo === JSON.stringify(query.upTo);
      const current = goesOn && pass !== null ? pass : await open(query);
      pass = current;
      const rows = current.rest;
      let bytes = 0;
      let isEnded = false;
      while (rows.length < query.maxRows && bytes < query.maxBytes) {
        const chunk = await current.result.fetchChunk();
        isEnded = chunk === null || chunk.rowCount === 0;
        if (chunk === null || isEnded) break;
        for (const values of chunk.getRows()) {
          rows.push(values);
          bytes += sizeOf(values);
        }
      }
      current.rest = rows.splice(query.maxRows);
      const isFull = !isEnded;
      const page = pageOf(table, query.phase, rows, isFull);
      const cursor = rows.length === 0 ? null : page.cursorAt(rows.length - 1);
      if (rows.length > 0) current.last = JSON.stringify([...(cursor === null ? [] : [cursor]), ...page.keyAt(rows.length - 1)]);
      if (isEnded) {
        pass = null;
        await refuseGap(current, query);
      }
      return page;
    },
    timeOf: (cursor) => {
      const instant = table.cursor?.type === 'TIMESTAMP WITH TIME ZONE' ? instants(cursor) : undefined;
      const milliseconds = typeof instant === 'string' ? Date.parse(instant) : Number.NaN;
      return Number.isNaN(milliseconds) ? null : milliseconds;
    },
  };
  return {
    table: keyset,
    forget: async () => {
      const open = pass;
      pass = null;
      if (open === null) return;
      // A result that is not read to its end keeps the file open until it is collected as garbage. An interrupt leaves it a few chunks.
      open.connection.interrupt();
      for (;;) {
        const chunk = await open.result.fetchChunk().catch(() => null);
        if (chunk === null || chunk.rowCount === 0) return;
      }
    },
  };
};

/** Rows behind a mark, counted up to `limit`. */
export const countBehind = async (table: SourceTable, connection: DuckDBConnection, behind: KeysetMark | null, limit: number): Promise<number> => {
  const { sql, parameters } = conditionsOf(table, 'rows', { behind });
  const found = await connection.runAndReadAll(`SELECT count(*) FROM (SELECT 1 FROM ${table.from}${sql} LIMIT ${limit})`, parameters);
  return Number(found.getRows()[0]?.[0] ?? 0);
};

/** Up to `limit` of the newest rows; what cannot be read is left out. */
export const newestRows = async (table: SourceTable, connection: DuckDBConnection, limit: number): Promise<Row[]> => {
  const order = table.cursor === null ? table.key : [table.cursor, ...table.key];
  const found = await connection.runAndReadAll(ordered(table, order, '', ' DESC', ` LIMIT ${Math.max(1, Math.floor(limit))}`));
  return found
    .getRows()
    .map((values) => rowOf(table, values))
    .filter((row) => row !== null);
};
