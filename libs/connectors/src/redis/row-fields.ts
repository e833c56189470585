/** Rows as fields of entries and hashes. */
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { OpKind } from '@tributary/contracts/ops';
import type { Row, Value } from '@tributary/contracts/types';

/** Lua's unpack puts all fields of a row on its stack, which holds 8000 values. */
const mostFields = 3_500;
/** Of text in one row; the server takes up to 512 MiB in one value, and holds it all in memory. */
const mostBytes = 64 * 1024 * 1024;

/** Says in an entry whether it is an upsert or a delete. */
export const operationField = '_op';

/** A value as text: bytes as base64, lists and objects as JSON, all others as JSON has them but without quotes. */
const textOf = (value: Exclude<Value, null>, isJson: boolean): string => {
  if (typeof value === 'string') return isJson ? JSON.stringify(value) : value;
  if (typeof value === 'object')
    return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') : stringifyExact(value);
  return String(value);
};

export const missingKeyColumn = (row: Row, primaryKey: readonly string[]): string | undefined =>
  primaryKey.find((name) => row[name] === null || row[name] === undefined);

/** The part of a hash's key that tells its row: of one column the text, of several a JSON array. All have values. */
export const keyOf = (row: Row, primaryKey: readonly string[]): string => {
  const [first] = primaryKey;
  if (first !== undefined && primaryKey.length === 1) return textOf(row[first] ?? '', false);
  return stringifyExact(primaryKey.map((name) => row[name]));
};

export type Problem = { readonly code: 'ROW_REFUSED' | 'ROW_TOO_LARGE'; readonly reason: string };

export interface FieldFormat {
  readonly jsonField: string | undefined;
  /** Columns that are declared as JSON: a text in them is written with its quotes. */
  readonly jsonColumns: ReadonlySet<string>;
  /** Adds the operation, as entries of streams have it. */
  readonly withOperation: boolean;
}

/** Names and values in turn, without those that are null; or why the row cannot be written so. */
export const fieldsOf = (row: Row, op: OpKind, { jsonField, jsonColumns, withOperation }: FieldFormat): string[] | Problem => {
  const fields = withOperation ? [operationField, op] : [];
  let length = 0;
  if (jsonField !== undefined) {
    const text = stringifyExact(row);
    fields.push(jsonField, text);
    length = text.length;
  } else {
    for (const name in row) {
      const value = row[name];
      if (value === null || value === undefined) continue;
      const text = textOf(value, jsonColumns.has(name));
      // The operation would be taken for the value, and the value for the operation.
      if (withOperation && name === operationField)
        return { code: 'ROW_REFUSED', reason: `Column "${name}" has the name of the field for the operation. Rename it, or set "JSON field".` };
      if (!text.isWellFormed()) return { code: 'ROW_REFUSED', reason: `Column "${name}": the text holds half a surrogate pair, which UTF-8 cannot say.` };
      if (!name.isWellFormed()) return { code: 'ROW_REFUSED', reason: 'The name of a column holds half a surrogate pair, which UTF-8 cannot say.' };
      fields.push(name, text);
      length += text.length;
    }
  }
  if (fields.length > 2 * mostFields)
    return { code: 'ROW_REFUSED', reason: `The row has more than ${mostFields} columns with values. Set "JSON field" to write it as one.` };
  if (length > mostBytes)
    return { code: 'ROW_TOO_LARGE', reason: `The row is larger than ${mostBytes / 1024 / 1024} MiB, the most that is written into one key at once.` };
  return fields;
};
