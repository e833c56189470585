/** A table's columns and keys as SQLite has them, and what is missing of them. */
import type { DatabaseSync } from 'node:sqlite';
import type { Column, Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { canHold, inferredType, sqlType } from './column-types.ts';
import { folded, quoted } from './database.ts';

export interface TableColumn {
  readonly name: string;
  /** As it was declared; empty where it was not. */
  readonly type: string;
  readonly nullable: boolean;
  /** Made from other columns, so it cannot be written. */
  readonly isGenerated: boolean;
}

export interface Table {
  readonly columns: readonly TableColumn[];
  readonly isView: boolean;
  readonly hasRowid: boolean;
  /** Declared primary key. */
  readonly primaryKey: readonly string[];
  /** Columns of each unique constraint or whole index, the primary key included. */
  readonly uniqueKeys: readonly (readonly string[])[];
}

/** What the subscription says of its table. */
export interface TableWanted {
  readonly table: string;
  readonly columns: readonly Column[] | null;
  readonly primaryKey: readonly string[];
}

/** Answers of SQLite to questions about the schema. */
export type Ask = (sql: string, ...parameters: string[]) => Record<string, unknown>[];

export const asking =
  (connection: DatabaseSync): Ask =>
  (sql, ...parameters) =>
    connection.prepare(sql).all(...parameters);

/** The statements that `tableFrom` needs the answers of. */
export const tableQuestions = {
  kind: `SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?)`,
  columns: 'SELECT name, type, "notnull" AS required, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid',
  uniques: `SELECT l.name AS "index", i.name AS "column" FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i WHERE l."unique" = 1 AND l.partial = 0 ORDER BY l.seq, i.seqno`,
} as const;

export const tableFrom = (
  kind: readonly Record<string, unknown>[],
  columns: readonly Record<string, unknown>[],
  uniques: readonly Record<string, unknown>[],
): Table | null => {
  const [first] = kind;
  if (first === undefined || columns.length === 0) return null;
  const isView = first['type'] === 'view';
  const withoutRowid = Number(first['wr']) === 1;
  const primary = columns.filter((column) => Number(column['pk']) > 0).sort((a, b) => Number(a['pk']) - Number(b['pk']));
  const primaryKey = primary.map((column) => String(column['name']));
  // INTEGER PRIMARY KEY is the rowid, which is never null; other keys of rowid tables may be (https://www.sqlite.org/lang_createtable.html#the_primary_key).
  const isRowid = !withoutRowid && primary.length === 1 && String(primary[0]?.['type']).toUpperCase() === 'INTEGER';
  const byIndex = new Map<string, string[] | null>();
  for (const { index, column } of uniques) {
    const known = byIndex.get(String(index));
    if (known === null) continue;
    // An index over an expression is no key of columns.
    byIndex.set(String(index), typeof column === 'string' ? [...(known ?? []), column] : null);
  }
  return {
    columns: columns.map(({ name, type, required, pk, hidden }) => ({
      name: String(name),
      type: String(type),
      nullable: Number(required) === 0 && !(Number(pk) > 0 && (isRowid || withoutRowid)),
      isGenerated: Number(hidden) > 1,
    })),
    isView,
    hasRowid: first['type'] === 'table' && !withoutRowid,
    primaryKey,
    uniqueKeys: [...(primaryKey.length > 0 ? [primaryKey] : []), ...byIndex.values().filter((key) => key !== null)],
  };
};

/** Null when there is no such table. */
export const readTable = (ask: Ask, name: string): Table | null => {
  const kind = ask(tableQuestions.kind, name);
  return kind.length === 0 ? null : tableFrom(kind, ask(tableQuestions.columns, name), ask(tableQuestions.uniques, name));
};

const refuseAlike = (names: readonly string[], table: string): void => {
  const spellings = new Map<string, string>();
  for (const name of names) {
    const other = spellings.get(folded(name));
    if (other !== undefined && other !== name)
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `Table "${table}" cannot have both columns "${other}" and "${name}": SQLite tells no upper from lower case in names.`,
      );
    spellings.set(folded(name), name);
  }
};

interface NewColumn {
  readonly name: string;
  readonly type: string;
}

/** Columns that rows carry and `known` lacks, with the types their values need. Columns of nulls only wait for a value. */
const undeclaredColumns = (rows: readonly Row[], known: ReadonlySet<string>, keys: ReadonlySet<string>): NewColumn[] => {
  const names = new Set<string>();
  for (const row of rows) for (const name in row) if (!known.has(name)) names.add(name);
  const columns: NewColumn[] = [];
  for (const name of names) {
    if (known.has(folded(name))) continue;
    const type = inferredType(rows, name, keys.has(folded(name)));
    if (type !== null) columns.push({ name, type });
  }
  return columns;
};

/** Creates the table from the declared columns and what the rows carry besides; does nothing when neither gives a column. */
const createTable = (connection: DatabaseSync, wanted: TableWanted, rows: readonly Row[]): void => {
  const keys = new Set(wanted.primaryKey.map(folded));
  const declared = (wanted.columns ?? []).flatMap(({ name, type }): NewColumn[] => {
    const isKey = keys.has(folded(name));
    // A key whose type nobody knows yet gets no affinity: it holds whatever comes.
    const sql = type === null ? (inferredType(rows, name, isKey) ?? (isKey ? '' : null)) : sqlType(type);
    return sql === null ? [] : [{ name, type: sql }];
  });
  const columns = [...declared, ...undeclaredColumns(rows, new Set(declared.flatMap(({ name }) => [name, folded(name)])), keys)];
  if (columns.length === 0) return;
  refuseAlike(
    columns.map(({ name }) => name),
    wanted.table,
  );
  for (const name of wanted.primaryKey)
    if (!columns.some((column) => folded(column.name) === folded(name)))
      throw new TributaryError('CONFIG_INVALID', `Key column "${name}" of table "${wanted.table}" is neither declared nor in the rows.`);
  const lines = columns.map(({ name, type }) => `${quoted(name)} ${type}${keys.has(folded(name)) ? ' NOT NULL' : ''}`);
  if (wanted.primaryKey.length > 0) lines.push(`PRIMARY KEY (${wanted.primaryKey.map(quoted).join(', ')})`);
  connection.exec(`CREATE TABLE ${quoted(wanted.table)} (${lines.join(', ')})`);
};

const refuseConflicts = (table: Table, wanted: TableWanted): void => {
  if (table.isView) throw new TributaryError('SCHEMA_CONFLICT', `"${wanted.table}" is a view, which cannot be written.`);
  const existing = new Map(table.columns.map((column) => [folded(column.name), column]));
  refuseAlike(
    (wanted.columns ?? []).map(({ name }) => name),
    wanted.table,
  );
  for (const { name, type } of wanted.columns ?? []) {
    const column = existing.get(folded(name));
    if (column !== undefined && type !== null && !canHold(column.type, type))
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `Column "${name}" of table "${wanted.table}" is ${column.type} in SQLite, but the mapper declares ${type.kind}.`,
      );
  }
  if (wanted.primaryKey.length === 0) return;
  for (const name of wanted.primaryKey)
    if (!existing.has(folded(name))) throw new TributaryError('SCHEMA_CONFLICT', `Table "${wanted.table}" has no key column "${name}".`);
  const sorted = (names: readonly string[]): string => names.map(folded).sort().join('\0');
  if (!table.uniqueKeys.some((key) => sorted(key) === sorted(wanted.primaryKey)))
    throw new TributaryError(
      'SCHEMA_CONFLICT',
      `Table "${wanted.table}" has no unique key on ${wanted.primaryKey.join(', ')}, so rows cannot be upserted by it. ` +
        `Run: CREATE UNIQUE INDEX ${quoted(`${wanted.table}_key`)} ON ${quoted(wanted.table)} (${wanted.primaryKey.map(quoted).join(', ')})`,
    );
};

/**
 * The table, made or extended so that it can take `rows`; null while nobody knows a column of it.
 * @throws SCHEMA_CONFLICT when a declared column has another type there, or the key is no key.
 */
export const ensureTable = (connection: DatabaseSync, wanted: TableWanted, rows: readonly Row[]): Table | null => {
  const ask = asking(connection);
  const table = readTable(ask, wanted.table);
  if (table === null) {
    createTable(connection, wanted, rows);
    return readTable(ask, wanted.table);
  }
  refuseConflicts(table, wanted);
  const known = new Set(table.columns.flatMap(({ name }) => [name, folded(name)]));
  const declared = (wanted.columns ?? []).flatMap(({ name, type }) => (type === null || known.has(folded(name)) ? [] : [{ name, type: sqlType(type) }]));
  for (const { name } of declared) known.add(name).add(folded(name));
  const missing = [...declared, ...undeclaredColumns(rows, known, new Set())];
  refuseAlike(
    missing.map(({ name }) => name),
    wanted.table,
  );
  if (missing.length === 0) return table;
  for (const { name, type } of missing) connection.exec(`ALTER TABLE ${quoted(wanted.table)} ADD COLUMN ${quoted(name)} ${type}`);
  return readTable(ask, wanted.table);
};
