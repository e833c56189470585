/** A table's columns and key as DuckDB has them, and what is missing of them. */
import type { DuckDBConnection } from '@duckdb/node-api';
import type { Column, Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { canHold, inferredType, isIntegerType, sqlType } from './column-types.ts';
import { quoted } from './database.ts';

export interface TableColumn {
  readonly name: string;
  /** As SQL writes it: `DECIMAL(10,2)`. */
  readonly type: string;
  readonly nullable: boolean;
}

export interface Table {
  readonly columns: readonly TableColumn[];
  /** Is there a primary key or unique constraint on just the key columns? Upserts by it need no scan of the table. */
  readonly keyed: boolean;
}

/** What the subscription says of its table. */
export interface TableWanted {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly Column[] | null;
  readonly primaryKey: readonly string[];
}

/** DuckDB compares names without regard to the case of ASCII letters. */
export const folded = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());

export const tableName = ({ schema, table }: { readonly schema: string; readonly table: string }): string => `${quoted(schema)}.${quoted(table)}`;

/** Null when there is no such table. */
export const readTable = async (connection: DuckDBConnection, wanted: TableWanted): Promise<Table | null> => {
  const found = await connection.runAndReadAll(
    'SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = $schema AND table_name = $table ORDER BY column_index',
    { schema: wanted.schema, table: wanted.table },
  );
  const columns = found.getRows().map(([name, type, nullable]) => ({ name: String(name), type: String(type), nullable: nullable === true }));
  if (columns.length === 0) return null;
  if (wanted.primaryKey.length === 0) return { columns, keyed: false };
  const constraints = await connection.runAndReadAll(
    "SELECT array_to_string(list_sort(list_transform(constraint_column_names, lambda name: lower(name))), chr(0)) FROM duckdb_constraints() WHERE database_name = current_database() AND schema_name = $schema AND table_name = $table AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')",
    { schema: wanted.schema, table: wanted.table },
  );
  const key = wanted.primaryKey.map(folded).sort().join('\0');
  return { columns, keyed: constraints.getRows().some(([names]) => names === key) };
};

const refuseAlike = (names: readonly string[], table: string): void => {
  const spellings = new Map<string, string>();
  for (const name of names) {
    const other = spellings.get(folded(name));
    if (other !== undefined && other !== name)
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `Table "${table}" cannot have both columns "${other}" and "${name}": DuckDB tells no upper from lower case in names.`,
      );
    spellings.set(folded(name), name);
  }
};

/** Columns that rows carry and `known` lacks, with the types their values need. Columns of nulls only wait for a value. */
const undeclaredColumns = (rows: readonly Row[], known: ReadonlySet<string>): { readonly name: string; readonly type: string }[] => {
  const names = new Set<string>();
  for (const row of rows) for (const name in row) if (!known.has(name)) names.add(name);
  const columns: { name: string; type: string }[] = [];
  for (const name of names) {
    if (known.has(folded(name))) continue;
    const type = inferredType(rows, name);
    if (type !== null) columns.push({ name, type });
  }
  return columns;
};

/** Creates the table from the declared columns and what the rows carry besides; does nothing when neither gives a column. */
const createTable = async (connection: DuckDBConnection, wanted: TableWanted, rows: readonly Row[]): Promise<void> => {
  const declared = (wanted.columns ?? []).map((column) => ({
    name: column.name,
    type: column.type === null ? inferredType(rows, column.name) : sqlType(column.type),
  }));
  const more = undeclaredColumns(rows, new Set(declared.flatMap(({ name }) => [name, folded(name)])));
  const key = new Set(wanted.primaryKey.map(folded));
  const columns = [...declared, ...more].flatMap(({ name, type }) =>
    type === null ? (key.has(folded(name)) ? [{ name, type: 'VARCHAR' }] : []) : [{ name, type }],
  );
  if (columns.length === 0) return;
  refuseAlike(
    columns.map(({ name }) => name),
    wanted.table,
  );
  for (const name of wanted.primaryKey)
    if (!columns.some((column) => folded(column.name) === folded(name)))
      throw new TributaryError('CONFIG_INVALID', `Key column "${name}" of table "${wanted.table}" is neither declared nor in the rows.`);
  const lines = columns.map(({ name, type }) => `${quoted(name)} ${type}`);
  if (wanted.primaryKey.length > 0) lines.push(`PRIMARY KEY (${wanted.primaryKey.map(quoted).join(', ')})`);
  await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quoted(wanted.schema)}`);
  await connection.run(`CREATE TABLE ${tableName(wanted)} (${lines.join(', ')})`);
};

const refuseConflicts = (table: Table, wanted: TableWanted): void => {
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
        `Column "${name}" of table "${wanted.table}" is ${column.type} in DuckDB, but the mapper declares ${type.kind}.`,
      );
  }
  for (const name of wanted.primaryKey)
    if (!existing.has(folded(name)) && wanted.columns?.some((column) => column.name === name) !== true)
      throw new TributaryError('SCHEMA_CONFLICT', `Table "${wanted.table}" has no key column "${name}".`);
};

/** An undeclared column of integers takes fractions too once they come, unless a double would change integers that are in it. */
const widen = async (connection: DuckDBConnection, wanted: TableWanted, table: Table, rows: readonly Row[]): Promise<boolean> => {
  const fixed = new Set([
    ...(wanted.columns ?? []).filter((column) => column.type !== null).map((column) => folded(column.name)),
    ...wanted.primaryKey.map(folded),
  ]);
  let widened = false;
  for (const { name, type } of table.columns) {
    if (!isIntegerType(type) || fixed.has(folded(name)) || inferredType(rows, name) !== 'DOUBLE') continue;
    const column = quoted(name);
    const exact = await connection.runAndReadAll(
      `SELECT count(*) FROM ${tableName(wanted)} WHERE ${column} NOT BETWEEN -9007199254740992 AND 9007199254740992`,
    );
    if (exact.getRows()[0]?.[0] !== 0n) continue;
    await connection.run(`ALTER TABLE ${tableName(wanted)} ALTER COLUMN ${column} SET DATA TYPE DOUBLE`);
    widened = true;
  }
  return widened;
};

/**
 * The table, made or extended so that it can take `rows`; null while nobody knows a column of it.
 * @throws SCHEMA_CONFLICT when a declared column has another type there.
 */
export const ensureTable = async (connection: DuckDBConnection, wanted: TableWanted, rows: readonly Row[]): Promise<Table | null> => {
  let table = await readTable(connection, wanted);
  if (table === null) {
    await createTable(connection, wanted, rows);
    return readTable(connection, wanted);
  }
  refuseConflicts(table, wanted);
  const known = new Set(table.columns.flatMap(({ name }) => [name, folded(name)]));
  const declared = (wanted.columns ?? []).flatMap(({ name, type }) => (type === null || known.has(folded(name)) ? [] : [{ name, type: sqlType(type) }]));
  for (const { name } of declared) known.add(name).add(folded(name));
  const missing = [...declared, ...undeclaredColumns(rows, known)];
  refuseAlike(
    missing.map(({ name }) => name),
    wanted.table,
  );
  for (const { name, type } of missing) await connection.run(`ALTER TABLE ${tableName(wanted)} ADD COLUMN ${quoted(name)} ${type}`);
  if ((await widen(connection, wanted, table, rows)) || missing.length > 0) table = await readTable(connection, wanted);
  return table;
};
