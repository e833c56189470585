/** JSON that keeps the digits of numbers a double cannot hold, read and written. */

declare global {
  // ECMAScript 2026, in Node since 21; TypeScript's library has no entry yet.
  interface JSON {
    /** Text that JSON.stringify puts in as it is. */
    rawJSON(text: string): unknown;
  }
}

const hugeExponent = /\d[eE][+-]?\d{3}/;
const longRun = 16;

const isDigitOrPoint = (code: number): boolean => (code >= 48 && code <= 57) || code === 46;

/**
 * Only a text with a run of 16 digits and points, or an exponent of three digits, can hold a number that a double changes;
 * all others take the fast way. Such a run covers one of every 16 characters, so the others need no look: this runs for every row.
 */
const isSuspicious = (text: string): boolean => {
  for (let at = longRun - 1; at < text.length; at += longRun) {
    if (!isDigitOrPoint(text.charCodeAt(at))) continue;
    let start = at;
    let end = at + 1;
    while (start > 0 && isDigitOrPoint(text.charCodeAt(start - 1))) start -= 1;
    while (end < text.length && isDigitOrPoint(text.charCodeAt(end))) end += 1;
    if (end - start >= longRun) return true;
  }
  return hugeExponent.test(text);
};

/** Plain notation of a JSON number, without exponent: `-1.25e1` → `-12.5`. Trailing zeros of the fraction stay. */
export const plainNotation = (literal: string): string => {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal);
  if (match === null) return literal;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const shift = Number(exponent);
  // A number of thousands of digits is no decimal anybody stores: it stays as it was written.
  if (Math.abs(shift) > 1000) return literal;
  const digits = whole + fraction;
  const point = whole.length + shift;
  const integer = point <= 0 ? '0' : digits.slice(0, point).padEnd(point, '0');
  const decimals = point <= 0 ? '0'.repeat(-point) + digits : digits.slice(point);
  return `${sign}${integer.replace(/^0+(?=\d)/, '')}${decimals === '' ? '' : `.${decimals}`}`;
};

const withoutTrailingZeros = (plain: string): string => (plain.includes('.') ? plain.replace(/\.?0+$/, '') : plain);

/** The number a literal stands for: as a double where that is exact, else a bigint (integers) or the decimal's text. */
export const exactNumber = (literal: string, double: number): number | bigint | string => {
  if (Number.isSafeInteger(double)) {
    if (/^-?\d+$/.test(literal)) return double;
  } else if (/^-?\d+$/.test(literal)) return BigInt(literal);
  const plain = plainNotation(literal);
  if (!Number.isFinite(double)) return plain;
  return withoutTrailingZeros(plain) === withoutTrailingZeros(plainNotation(String(double))) ? double : plain;
};

const keepDigits = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === 'number' && context?.source !== undefined ? exactNumber(context.source, value) : value;

export const hasLongNumber = isSuspicious;

/** @throws SyntaxError as JSON.parse does. */
export const parseExact = (text: string): unknown => (isSuspicious(text) ? JSON.parse(text, keepDigits) : JSON.parse(text));

/** JSON of a value: integers with all digits, bytes as base64 text, NaN and infinities by name, decimals and times as the text they are. */
export const stringifyExact = (value: unknown): string => JSON.stringify(value, writeExact);

function writeExact(this: unknown, key: string, part: unknown): unknown {
  if (typeof part === 'bigint') return JSON.rawJSON(String(part));
  if (typeof part === 'number' && !Number.isFinite(part)) return String(part);
  if (typeof part !== 'object') return part;
  // A Buffer has become its toJSON() by now; the holder still has the original.
  const original = (this as Record<string, unknown>)[key];
  return original instanceof Uint8Array ? Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString('base64') : part;
}
