/** Rows as text that is equal exactly when the rows are the same to a reader. */
import type { Column, Row, Value } from '@tributary/contracts/types';

/** Sorted texts, one a row: what was written and what is read back may differ in order, in trailing zeros of fractions, and in missing against null. */
export const comparable = (rows: readonly Row[], columns: readonly Column[]): string[] => rows.map((row) => comparableRow(row, columns)).sort();

export const comparableRow = (row: Row, columns: readonly Column[]): string => {
  const kinds = new Map(columns.map((column) => [column.name, column.type?.kind]));
  const names = Object.keys(row).filter((name) => row[name] !== null && row[name] !== undefined);
  return names
    .sort()
    .map((name) => `${JSON.stringify(name)}: ${comparableValue(row[name] ?? null, kinds.get(name))}`)
    .join(', ');
};

const comparableValue = (value: Value, kind: string | undefined): string => {
  if (typeof value === 'string' && (kind === 'DECIMAL' || kind?.endsWith('TIME') === true)) return JSON.stringify(withoutTrailingZeros(value));
  if (value instanceof Uint8Array) return `base64:${Buffer.from(value).toString('base64')}`;
  if (Array.isArray(value)) return `[${value.map((item) => comparableValue(item, undefined)).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.keys(value).sort();
    return `{${fields.map((field) => `${JSON.stringify(field)}: ${comparableValue(value[field] ?? null, undefined)}`).join(', ')}}`;
  }
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value);
};

/** `12.340` and `12.34` are one number, `12:00:00.500Z` and `12:00:00.5Z` one instant. */
const withoutTrailingZeros = (text: string): string => text.replace(/(\.\d*?)0+(Z?)$/, '$1$2').replace(/\.(Z?)$/, '$1');
