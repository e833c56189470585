/** Names in SQL: https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS */

/** A longer name would be cut off without an error. */
const longestName = 63;

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export const quoteNames = (names: readonly string[]): string => names.map(quoteName).join(', ');

export const qualified = (schema: string, table: string): string => `${quoteName(schema)}.${quoteName(table)}`;

/** Why the server would not take this name as it is; null when it would. */
export const nameProblem = (name: string): string | null => {
  if (name === '') return 'the name is empty';
  if (name.includes('\0')) return 'the name holds a NUL character';
  if (Buffer.byteLength(name) > longestName) return `the name is longer than ${longestName} bytes`;
  return null;
};
