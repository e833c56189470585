/** Rows as the bytes of a part file. */
import { stringify } from 'csv-stringify/sync';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Row, Value } from '@tributary/contracts/types';
import type { FileFormat } from './file-format.ts';

const csvField = (value: Value | undefined): string | number | bigint | null => {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'object') return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : stringifyExact(value);
  return value;
};

/** Columns of a CSV part: those declared, then all others that occur, in order of appearance. */
const csvColumnsOf = (rows: readonly Row[], declared: readonly string[]): string[] => {
  const columns = new Set(declared);
  for (const row of rows) for (const name in row) columns.add(name);
  return [...columns];
};

/** `declared`: columns that a CSV part has even where no row does. In CSV null is an empty field, the empty string a quoted one. */
export const encodeRows = (rows: readonly Row[], format: FileFormat, declared: readonly string[]): Buffer => {
  if (format === 'jsonl') return Buffer.from(`${rows.map(stringifyExact).join('\n')}\n`);
  const columns = csvColumnsOf(rows, declared);
  const records = rows.map((row) => columns.map((name) => csvField(row[name])));
  return Buffer.from(stringify([columns, ...records], { quoted_match: /^$/ }));
};
