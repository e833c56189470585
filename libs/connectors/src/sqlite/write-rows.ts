/**
 * Writes rows one statement each, in their order: I4 holds by itself, the last op of a key stands, and where one is refused the one
 * before it does. Several rows a statement were measured to be a fifth faster, but would not tell which row SQLite refuses.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import type { OpKind } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf } from '@tributary/errors/error';
import { folded, quoted } from './database.ts';
import { blamesRow } from './errors.ts';
import type { Table, TableWanted } from './table.ts';
import { encoderOf, type Encode, type Stored } from './values.ts';

/** Milliseconds of work after which the event loop gets a turn. */
const longestStep = 8;
const rowsBetweenLooks = 64;

interface Written {
  readonly name: string;
  /** The key under which rows carry the column's value. */
  readonly field: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly isKey: boolean;
  readonly encode: Encode;
}

/**
 * Columns that a delivery sets. A row is whole: what it lacks becomes null. Where nothing is declared that goes for all columns,
 * else for the declared ones and those that rows carry besides; other columns of the table are its owner's.
 */
const writtenColumns = (table: Table, wanted: TableWanted, rows: readonly Row[]): Written[] => {
  const fields = new Map<string, string>();
  const seen = new Set<string>();
  const carry = (name: string): void => {
    seen.add(name);
    fields.set(folded(name), name);
  };
  for (const row of rows) for (const name in row) if (!seen.has(name)) carry(name);
  for (const name of [...(wanted.columns ?? []).map((column) => column.name), ...wanted.primaryKey]) if (!fields.has(folded(name))) carry(name);
  const keys = new Set(wanted.primaryKey.map(folded));
  const declared = new Map((wanted.columns ?? []).map((column) => [folded(column.name), column.type]));
  return table.columns.flatMap(({ name, type, nullable, isGenerated }) => {
    const field = fields.get(folded(name));
    if (isGenerated || (field === undefined && wanted.columns !== null)) return [];
    return [{ name, field: field ?? name, type, nullable, isKey: keys.has(folded(name)), encode: encoderOf(type, declared.get(folded(name)) ?? null) }];
  });
};

const show = (value: unknown): string => cutText(stringifyExact(value), 200);

/** Fills `stored` from a row; gives the reason why it cannot be stored, if so. */
const encodeRow = (row: Row, columns: readonly Written[], stored: Stored[]): string | null => {
  for (let index = 0; index < columns.length; index += 1) {
    const column = columns[index] as Written;
    const value = row[column.field];
    if (value === null || value === undefined) {
      if (column.isKey) return `Column "${column.field}" is part of the key, but ${value === null ? 'null' : 'missing'}.`;
      if (!column.nullable) return `Column "${column.field}" may not be null in SQLite.`;
      stored[index] = null;
      continue;
    }
    const encoded = column.encode(value);
    if (encoded === undefined) return `Column "${column.field}": ${show(value)} does not fit SQLite's ${column.type === '' ? 'column' : column.type} exactly.`;
    stored[index] = encoded;
  }
  return null;
};

/** Writes the rows that SQLite takes; gives the reasons of the others by index. To be called in a transaction. */
export const writeRows = async (
  connection: DatabaseSync,
  wanted: TableWanted,
  table: Table,
  rows: readonly Row[],
  ops: readonly OpKind[] | null,
): Promise<Map<number, string>> => {
  const into = quoted(wanted.table);
  const columns = writtenColumns(table, wanted, rows);
  const keyColumns = columns.filter((column) => column.isKey);
  const others = columns.filter((column) => !column.isKey);
  const names = columns.map(({ name }) => quoted(name)).join(', ');
  const conflict =
    keyColumns.length === 0
      ? ''
      : ` ON CONFLICT (${keyColumns.map(({ name }) => quoted(name)).join(', ')}) DO ${
          others.length === 0 ? 'NOTHING' : `UPDATE SET ${others.map(({ name }) => `${quoted(name)} = excluded.${quoted(name)}`).join(', ')}`
        }`;
  const upsert = connection.prepare(`INSERT INTO ${into} (${names}) VALUES (${columns.map(() => '?').join(', ')})${conflict}`);
  let remove: StatementSync | null = null;
  const stored: Stored[] = columns.map(() => null);
  const storedKey: Stored[] = keyColumns.map(() => null);
  const refused = new Map<number, string>();

  const write = (row: Row, isDelete: boolean): string | null => {
    if (isDelete && keyColumns.length === 0) return 'The table has no primary key, so no row can be deleted by it.';
    const unfit = isDelete ? encodeRow(row, keyColumns, storedKey) : encodeRow(row, columns, stored);
    if (unfit !== null) return unfit;
    try {
      if (isDelete) {
        remove ??= connection.prepare(`DELETE FROM ${into} WHERE ${keyColumns.map(({ name }) => `${quoted(name)} = ?`).join(' AND ')}`);
        remove.run(...storedKey);
      } else upsert.run(...stored);
      return null;
    } catch (error) {
      // A constraint may be declared to roll back everything; then nothing of this delivery is left to go on with.
      if (!blamesRow(error) || !connection.isTransaction) throw error;
      return `SQLite refused the row: ${messageOf(error)}`;
    }
  };

  let since = performance.now();
  for (let index = 0; index < rows.length; index += 1) {
    const reason = write(rows[index] as Row, ops !== null && ops[index] === 'delete');
    if (reason !== null) refused.set(index, reason);
    if (index % rowsBetweenLooks === 0 && performance.now() - since > longestStep) {
      await nextTurn();
      since = performance.now();
    }
  }
  return refused;
};
