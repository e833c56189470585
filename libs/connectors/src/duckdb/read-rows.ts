/** All rows of a table as values of the contract, for tests and previews. */
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import { parseExact } from '@tributary/connector-sdk/exact-json';
import type { Row, Value } from '@tributary/contracts/types';
import { openDatabase } from './database.ts';
import { readTable, tableName } from './table.ts';

const plain = (value: DuckDBValue, type: string): Value => {
  if (typeof value === 'bigint') return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  if (type === 'JSON' && typeof value === 'string') return parseExact(value);
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value;
  if (value instanceof DuckDBBlobValue) return new Uint8Array(value.bytes);
  if (value instanceof DuckDBDecimalValue || value instanceof DuckDBDateValue || value instanceof DuckDBTimeValue) return value.toString();
  if (value instanceof DuckDBTimestampTZValue) return `${new DuckDBTimestampValue(value.micros).toString().replace(' ', 'T')}Z`;
  return value instanceof DuckDBTimestampValue ? value.toString().replace(' ', 'T') : String(value);
};

/** An absent table has no rows. */
export const readRows = async (absolute: string, file: string, table: string, schema = 'main'): Promise<Row[]> => {
  const database = await openDatabase(absolute, file);
  try {
    return await database.exclusive(async (connection) => {
      const found = await readTable(connection, { schema, table, columns: null, primaryKey: [] });
      if (found === null) return [];
      const all = await connection.runAndReadAll(`SELECT * FROM ${tableName({ schema, table })}`);
      return all.getRows().map((values) => Object.fromEntries(found.columns.map(({ name, type }, index) => [name, plain(values[index] ?? null, type)])));
    });
  } finally {
    await database.close();
  }
};
