/** Rows as Kafka records. */
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Row, Value } from '@tributary/contracts/types';

const keyText = (value: Value): string => {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return typeof value === 'object' ? stringifyExact(value) : String(value);
};

export const missingKeyColumn = (row: Row, primaryKey: readonly string[]): string =>
  primaryKey.find((name) => row[name] === null || row[name] === undefined) ?? '';

/** The record's key: of one column its text, of several a JSON array. Null when one has no value. */
export const keyOf = (row: Row, primaryKey: readonly string[]): string | null => {
  for (const name of primaryKey) if (row[name] === null || row[name] === undefined) return null;
  const [first] = primaryKey;
  if (first !== undefined && primaryKey.length === 1) return keyText(row[first] ?? null);
  return stringifyExact(primaryKey.map((name) => row[name]));
};
