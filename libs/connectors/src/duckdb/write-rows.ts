/** Rows into a table, inside an open transaction: encoded, folded by key, staged by the appender, then merged in by one statement. */
import { DuckDBDataChunk, type DuckDBConnection, type DuckDBType, type DuckDBValue } from '@duckdb/node-api';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import type { OpKind } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { quoted } from './database.ts';
import { folded, tableName, type Table, type TableWanted } from './table.ts';
import { encoderOf, type Encode } from './values.ts';

/** Rows of one data chunk: DuckDB's vector size. */
const chunkRows = 2048;

const deletedMark = '_tributary_staged_delete';

/** Fills a temporary table column by column. */
const append = async (connection: DuckDBConnection, stage: string, columns: readonly (readonly DuckDBValue[])[]): Promise<void> => {
  const appender = await connection.createAppender(stage, null, 'temp');
  try {
    const types: DuckDBType[] = columns.map((_, index) => appender.columnType(index));
    const count = columns[0]?.length ?? 0;
    for (let from = 0; from < count; from += chunkRows) {
      const to = Math.min(from + chunkRows, count);
      const chunk = DuckDBDataChunk.create(types, to - from);
      chunk.setColumns(columns.map((column) => (count <= chunkRows ? column : column.slice(from, to))));
      appender.appendDataChunk(chunk);
    }
  } finally {
    appender.closeSync();
  }
};

interface Target {
  readonly name: string;
  /** The key under which rows carry the column's value. */
  readonly field: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly encode: Encode | null;
}

/**
 * Columns that a delivery sets. A row is whole: what it lacks becomes null. Where nothing is declared that goes for all columns,
 * else for the declared ones and those that rows carry besides; other columns of the table are its owner's.
 */
const targetsOf = (table: Table, wanted: TableWanted, rows: readonly Row[], typeOf: (index: number) => DuckDBType): Target[] => {
  const fields = new Map<string, string>();
  const seen = new Set<string>();
  const carry = (name: string): void => {
    seen.add(name);
    fields.set(folded(name), name);
  };
  for (const row of rows) for (const name in row) if (!seen.has(name)) carry(name);
  for (const name of [...(wanted.columns ?? []).map((column) => column.name), ...wanted.primaryKey]) if (!fields.has(folded(name))) carry(name);
  return table.columns.flatMap(({ name, type, nullable }, index) => {
    const field = fields.get(folded(name));
    if (field === undefined && wanted.columns !== null) return [];
    return [{ name, field: field ?? name, type, nullable, encode: encoderOf(typeOf(index), type) }];
  });
};

interface Staged {
  readonly columns: DuckDBValue[][];
  readonly deleted: boolean[];
  readonly refused: Map<number, string>;
}

const show = (value: unknown): string => cutText(stringifyExact(value), 200);

/** Encodes the rows `indices` of `rows`; of one key the last row stands (I4). */
const encode = (
  rows: readonly Row[],
  indices: readonly number[],
  ops: readonly OpKind[] | null,
  targets: readonly Target[],
  primaryKey: readonly string[],
): Staged => {
  const staged: Staged = { columns: targets.map(() => []), deleted: [], refused: new Map() };
  const keyed = primaryKey.length > 0;
  const keys = new Set(primaryKey.map(folded));
  const keyIndexes = targets.flatMap((target, index) => (keys.has(folded(target.name)) ? [index] : []));
  const isKey = targets.map((target) => keys.has(folded(target.name)));
  const places = new Map<string, number>();
  const current: DuckDBValue[] = targets.map(() => null);

  const encodeRow = (row: Row, isDelete: boolean): string | null => {
    for (let index = 0; index < targets.length; index += 1) {
      const target = targets[index] as Target;
      const value = row[target.field];
      if (value === null || value === undefined || (isDelete && isKey[index] !== true)) {
        if (isKey[index] === true) return `Column "${target.field}" is part of the key, but ${value === null ? 'null' : 'missing'}.`;
        if (!target.nullable && !isDelete) return `Column "${target.field}" may not be null in DuckDB.`;
        current[index] = null;
        continue;
      }
      const encoded = target.encode?.(value);
      if (encoded === undefined) return `Column "${target.field}": ${show(value)} does not fit DuckDB's ${target.type} exactly.`;
      current[index] = encoded;
    }
    return null;
  };

  for (const index of indices) {
    const row = rows[index];
    if (row === undefined) continue;
    const isDelete = ops !== null && ops[index] === 'delete';
    const reason = isDelete && !keyed ? 'The table has no primary key, so no row can be deleted by it.' : encodeRow(row, isDelete);
    if (reason !== null) {
      staged.refused.set(index, reason);
      continue;
    }
    let place = staged.deleted.length;
    if (keyed) {
      const key = keyIndexes.length === 1 ? String(current[keyIndexes[0] ?? 0]) : JSON.stringify(keyIndexes.map((at) => String(current[at])));
      const known = places.get(key);
      if (known === undefined) places.set(key, place);
      else place = known;
    }
    staged.deleted[place] = isDelete;
    for (let at = 0; at < targets.length; at += 1) (staged.columns[at] as DuckDBValue[])[place] = current[at] as DuckDBValue;
  }
  return staged;
};

/**
 * Writes the rows `indices` of `rows`; gives the reasons of those that no column can hold, which are left out.
 * Throws DuckDB's own error when a constraint refuses a row.
 */
export const writeRows = async (
  connection: DuckDBConnection,
  wanted: TableWanted,
  table: Table,
  rows: readonly Row[],
  indices: readonly number[],
  ops: readonly OpKind[] | null,
): Promise<Map<number, string>> => {
  const stage = '_tributary_stage';
  await connection.run(`CREATE OR REPLACE TEMP TABLE ${stage} AS SELECT *, false AS ${deletedMark} FROM ${tableName(wanted)} LIMIT 0`);
  const shape = await connection.createAppender(stage, null, 'temp');
  let targets: Target[];
  try {
    targets = targetsOf(table, wanted, rows, (index) => shape.columnType(index));
  } finally {
    shape.closeSync();
  }
  const { columns, deleted, refused } = encode(rows, indices, ops, targets, wanted.primaryKey);
  if (deleted.length === 0) return refused;
  const names = targets.map((target) => quoted(target.name)).join(', ');
  if (targets.length !== table.columns.length)
    await connection.run(`CREATE OR REPLACE TEMP TABLE ${stage} AS SELECT ${names}, false AS ${deletedMark} FROM ${tableName(wanted)} LIMIT 0`);
  await append(connection, stage, [...columns, deleted]);

  const into = tableName(wanted);
  if (wanted.primaryKey.length === 0) {
    await connection.run(`INSERT INTO ${into} (${names}) SELECT ${names} FROM temp.${stage}`);
    return refused;
  }
  const keys = new Set(wanted.primaryKey.map(folded));
  const others = targets.filter((target) => !keys.has(folded(target.name))).map((target) => quoted(target.name));
  const match = wanted.primaryKey.map((name) => `kept.${quoted(name)} = staged.${quoted(name)}`).join(' AND ');
  const deletes = deleted.includes(true);
  if (table.keyed) {
    if (deletes) await connection.run(`DELETE FROM ${into} AS kept USING temp.${stage} AS staged WHERE staged.${deletedMark} AND ${match}`);
    const update = others.length === 0 ? 'NOTHING' : `UPDATE SET ${others.map((name) => `${name} = excluded.${name}`).join(', ')}`;
    await connection.run(
      `INSERT INTO ${into} (${names}) SELECT ${names} FROM temp.${stage} WHERE NOT ${deletedMark} ON CONFLICT (${wanted.primaryKey.map(quoted).join(', ')}) DO ${update}`,
    );
    return refused;
  }
  // Without a constraint on the key there is no ON CONFLICT; MERGE joins with the whole table.
  const update = others.length === 0 ? '' : `WHEN MATCHED THEN UPDATE SET ${others.map((name) => `${name} = staged.${name}`).join(', ')}`;
  const values = targets.map((target) => `staged.${quoted(target.name)}`).join(', ');
  await connection.run(
    `MERGE INTO ${into} AS kept USING temp.${stage} AS staged ON ${match} WHEN MATCHED AND staged.${deletedMark} THEN DELETE ${update} WHEN NOT MATCHED AND NOT staged.${deletedMark} THEN INSERT (${names}) VALUES (${values})`,
  );
  return refused;
};

/** Appends columns of plain values to a table of ours, in the open transaction. */
export const appendTo = async (
  connection: DuckDBConnection,
  table: string,
  names: readonly string[],
  columns: readonly (readonly DuckDBValue[])[],
): Promise<void> => {
  const stage = '_tributary_stage_errors';
  const list = names.map(quoted).join(', ');
  try {
    await connection.run(`CREATE OR REPLACE TEMP TABLE ${stage} AS SELECT ${list} FROM ${table} LIMIT 0`);
  } catch (error) {
    throw new TributaryError('SCHEMA_CONFLICT', `Error table ${table} lacks one of the columns ${names.join(', ')}.`, { cause: error });
  }
  await append(connection, stage, columns);
  await connection.run(`INSERT INTO ${table} (${list}) SELECT ${list} FROM temp.${stage}`);
};
