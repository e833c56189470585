/** All rows of a table as values of the contract, for tests. */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Row } from '@tributary/contracts/types';
import { decoderOf } from './decode.ts';
import { quoted } from './database.ts';
import { rowOf } from './source-table.ts';
import { asking, readTable } from './table.ts';
import type { Stored } from './values.ts';

/** An absent table has no rows. */
export const readRows = (absolute: string, name: string): Row[] => {
  if (!existsSync(absolute)) return [];
  const connection = new DatabaseSync(absolute, { readOnly: true, timeout: 5000 });
  try {
    const table = readTable(asking(connection), name);
    if (table === null) return [];
    const statement = connection.prepare(`SELECT * FROM ${quoted(name)}`);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    const columns = table.columns.map((column) => ({ name: column.name, decode: decoderOf(column.type) }));
    return (statement.all() as unknown as Stored[][]).map((values) => {
      const numbers = values.map((value) => (typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value));
      const row = rowOf({ columns }, numbers);
      if (row === null) throw new Error(`A row of ${name} does not fit its columns: ${String(numbers)}`);
      return row;
    });
  } finally {
    connection.close();
  }
};
