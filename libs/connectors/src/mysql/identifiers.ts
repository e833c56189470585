/** Names in SQL: https://dev.mysql.com/doc/refman/8.4/en/identifiers.html, and texts: https://dev.mysql.com/doc/refman/8.4/en/string-literals.html */
import { createHash } from 'node:crypto';

/** In characters. */
const longestName = 64;

export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

export const quoteNames = (names: readonly string[]): string => names.map(quoteName).join(', ');

/** Why the server would not take this name as it is; null when it would. */
export const nameProblem = (name: string): string | null => {
  if (name === '') return 'the name is empty';
  if (name.includes('\0')) return 'the name holds a NUL character';
  if (/[\u{10000}-\u{10ffff}\ud800-\udfff]/u.test(name)) return 'the name holds a character beyond U+FFFF';
  if (name.endsWith(' ')) return 'the name ends with a space';
  if (name.length > longestName) return `the name is longer than ${longestName} characters`;
  return null;
};

/** The name among `others` that the server takes for the same column: it compares names of columns without regard to case. */
export const sameName = (name: string, others: Iterable<string>): string | null => {
  const folded = name.toLowerCase();
  for (const other of others) if (other !== name && other.toLowerCase() === folded) return other;
  return null;
};

const special = /[\0\n\r'\\]/;
const specials = /[\0\n\r'\\]/g;
const escapes: Readonly<Record<string, string>> = { '\0': '\\0', '\n': '\\n', '\r': '\\r', "'": "\\'", '\\': '\\\\' };

/** Sessions of `connect.ts` never have NO_BACKSLASH_ESCAPES. */
export const quoteText = (text: string): string => `'${special.test(text) ? text.replaceAll(specials, (character) => escapes[character] ?? '') : text}'`;

/** The name of an advisory lock, which is of the whole server and at most 64 characters: https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html */
export const lockName = (...parts: readonly (string | number)[]): string =>
  `tributary_${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 48)}`;
