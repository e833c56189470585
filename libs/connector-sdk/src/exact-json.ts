/**
 * JSON that keeps the digits of numbers a double cannot hold, read and written (https://tc39.es/proposal-json-parse-with-source/).
 * How such numbers are held is in the table of contracts/types.ts.
 */
import type { Value } from '@tributary/contracts/types';

declare global {
  // ECMAScript 2026, in Node since 21; TypeScript's library has no entry yet.
  interface JSON {
    /** A frozen object that JSON.stringify writes as the text that is in it. */
    rawJSON(text: string): { readonly rawJSON: string };
    isRawJSON(value: unknown): value is { readonly rawJSON: string };
  }
}

/** A number begins the text or follows one of these; digits behind anything else are in a string, such as an id. */
const hugeExponent = /(?:^|[:,[\s])-?\d[\d.]*[eE][+-]?\d{3}/;
const beforeNumber = /[:,[\s]/;
const longRun = 16;

const isDigitOrPoint = (code: number): boolean => (code >= 48 && code <= 57) || code === 46;

/** May a number begin at `start`? Its sign is before it. */
const beginsNumber = (text: string, start: number): boolean => {
  const before = text[start - 1] === '-' ? text[start - 2] : text[start - 1];
  return before === undefined || beforeNumber.test(before);
};

/** Is this run a decimal as JSON.stringify writes a double, such as a coordinate of 17 digits? Then nothing is lost in reading it as one. */
const isDouble = (run: string, next: string | undefined): boolean => run.includes('.') && next !== 'e' && next !== 'E' && String(Number(run)) === run;

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
    if (end - start < longRun) continue;
    if (beginsNumber(text, start) && !isDouble(text.slice(start, end), text[end])) return true;
    while (at + longRun < end) at += longRun;
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

/** The number a literal stands for: a double where that is exact, else a bigint (integers) or the literal as raw JSON. */
const exactNumber = (literal: string, double: number): unknown => {
  if (/^-?\d+$/.test(literal)) return Number.isSafeInteger(double) ? double : BigInt(literal);
  const same = Number.isFinite(double) && withoutTrailingZeros(plainNotation(literal)) === withoutTrailingZeros(plainNotation(String(double)));
  return same ? double : JSON.rawJSON(literal);
};

const keepDigits = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === 'number' && context?.source !== undefined ? exactNumber(context.source, value) : value;

export const hasLongNumber = isSuspicious;

/** Whoever handles a value walks down it by recursion, and the stack ends at some ten thousand calls: what is nested deeper than this is not read. */
export const deepestNesting = 1_000;

/** A text as short as this cannot nest so deep: every opener has its closer. */
export const longestShallowText = 2 * deepestNesting;

const countOf = (text: string, opener: string): number => {
  let count = 0;
  for (let at = text.indexOf(opener); at >= 0 && count <= deepestNesting; at = text.indexOf(opener, at + 1)) count += 1;
  return count;
};

/** Counting openers costs next to nothing, so only texts that hold many of them are walked through. */
const isTooDeep = (text: string): boolean => {
  if (text.length <= longestShallowText || countOf(text, '[') + countOf(text, '{') <= deepestNesting) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case 34: // "
        for (at += 1; at < text.length && text.charCodeAt(at) !== 34; at += 1) if (text.charCodeAt(at) === 92) at += 1;
        break;
      case 91: // [
      case 123: // {
        depth += 1;
        if (depth > deepestNesting) return true;
        break;
      case 93: // ]
      case 125: // }
        depth -= 1;
        break;
    }
  }
  return false;
};

const refuseTooDeep = (text: string): void => {
  if (isTooDeep(text)) throw new SyntaxError(`its values are nested deeper than ${deepestNesting} levels, which is not read`);
};

/** A JSON document. @throws SyntaxError as JSON.parse does, and for what is nested too deep. */
export const parseExact = (text: string): Value => {
  refuseTooDeep(text);
  return (isSuspicious(text) ? JSON.parse(text, keepDigits) : JSON.parse(text)) as Value;
};

/** A row as JSON text: like `parseExact`, but decimals that are values of the row itself are their text. @throws SyntaxError */
export const parseExactRow = (text: string): Value => {
  refuseTooDeep(text);
  if (!isSuspicious(text)) return JSON.parse(text) as Value;
  const row = JSON.parse(text, keepDigits) as Value;
  const alone = longDecimal(row);
  if (alone !== null) return alone;
  if (typeof row !== 'object' || row === null || Array.isArray(row) || row instanceof Uint8Array) return row;
  for (const [name, value] of Object.entries(row)) {
    const decimal = longDecimal(value);
    if (decimal !== null) row[name] = decimal;
  }
  return row;
};

/** The plain notation of a decimal that `parseExact` kept as raw JSON; null for every other value. */
export const longDecimal = (value: unknown): string | null =>
  typeof value === 'object' && value !== null && JSON.isRawJSON(value) ? plainNotation(value.rawJSON) : null;

/** JSON of a value: numbers with all digits, bytes as base64 text, NaN and infinities by name, times and the decimals of a row as the text they are. */
export const stringifyExact = (value: unknown): string => (isPlain(value) ? JSON.stringify(value) : JSON.stringify(value, writeExact));

/** What is thrown for a value that is nested deeper than the stack goes. */
export const isTooDeepError = (error: unknown): boolean => error instanceof RangeError;

/** `stringifyExact` for people, of any value. */
export const shownExact = (value: unknown): string => {
  try {
    return stringifyExact(value);
  } catch (error) {
    if (!isTooDeepError(error)) throw error;
    return '(nested too deep to be shown)';
  }
};

/** Does JSON.stringify write this as it is? Looking first costs a quarter of what a replacer does, and few values need one. */
const isPlain = (value: unknown): boolean => {
  switch (typeof value) {
    case 'bigint':
      return false;
    case 'number':
      return Number.isFinite(value);
    case 'object': {
      if (value === null) return true;
      if (Array.isArray(value)) return value.every(isPlain);
      if (value instanceof Uint8Array) return false;
      const members = value as Readonly<Record<string, unknown>>;
      for (const name in members) if (!isPlain(members[name])) return false;
      return true;
    }
    default:
      return true;
  }
};

function writeExact(this: unknown, key: string, part: unknown): unknown {
  if (typeof part === 'bigint') return JSON.rawJSON(String(part));
  if (typeof part === 'number' && !Number.isFinite(part)) return String(part);
  if (typeof part !== 'object') return part;
  // A Buffer has become its toJSON() by now; the holder still has the original.
  const original = (this as Record<string, unknown>)[key];
  return original instanceof Uint8Array ? Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString('base64') : part;
}
