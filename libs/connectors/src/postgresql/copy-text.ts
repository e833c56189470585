/**
 * Rows ↔ the text format of COPY: one line a row, tabs between values, `\N` for null, backslash escapes.
 * https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2
 */
import { isTooDeepError, parseExact, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { ColumnType, Row, Value } from '@tributary/contracts/types';
import type { PgType } from './types.ts';

/** A value as COPY text; throws UnwritableValue for what no column can hold. */
export type EncodeValue = (value: Value | undefined) => string;

/** Thrown for a value that the server can hold in no column; `reason` says why, without the column's name. */
export class UnwritableValue extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

const special = /[\\\t\n\r\0]/;
const specials = /[\\\t\n\r]/g;
const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

const escapeText = (text: string): string => {
  if (!special.test(text)) return text;
  if (text.includes('\0')) throw new UnwritableValue('the text holds a NUL character (\\u0000), which PostgreSQL cannot store');
  return text.replaceAll(specials, (character) => escapes[character] ?? character);
};

const jsonText = (value: Value): string => {
  try {
    return stringifyExact(value);
  } catch (error) {
    if (!isTooDeepError(error)) throw error;
    throw new UnwritableValue('the value is nested too deep');
  }
};

const encodeValue: EncodeValue = (value) => {
  switch (typeof value) {
    case 'string':
      return escapeText(value);
    case 'number':
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'undefined':
      return '\\N';
    default:
      if (value === null) return '\\N';
      if (value instanceof Uint8Array) return `\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`;
      return escapeText(jsonText(value));
  }
};

const encodeJson: EncodeValue = (value) => (value === null || value === undefined ? '\\N' : escapeText(jsonText(value)));

/** A list as an array literal: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO; anything else as it is. */
const encodeArray: EncodeValue = (value) => (Array.isArray(value) ? escapeText(arrayLiteral(value)) : encodeValue(value));

const arrayLiteral = (items: readonly Value[]): string =>
  `{${items
    .map((item) => {
      if (item === null) return 'NULL';
      if (Array.isArray(item)) return arrayLiteral(item);
      const text =
        typeof item === 'string'
          ? item
          : typeof item === 'object' && !(item instanceof Uint8Array)
            ? jsonText(item)
            : item instanceof Uint8Array
              ? `\\x${Buffer.from(item).toString('hex')}`
              : String(item);
      return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
    })
    .join(',')}}`;

export const encoderFor = (type: PgType): EncodeValue => {
  if (type.name === 'json' || type.name === 'jsonb') return encodeJson;
  return type.category === 'A' ? encodeArray : encodeValue;
};

export interface EncodeColumn {
  readonly name: string;
  readonly encode: EncodeValue;
}

const brokenText = 'the text holds half a surrogate pair, which is no character in UTF-8';

/** Half a surrogate pair would silently become U+FFFD on the way. @throws UnwritableValue */
export const requireWellFormed = (text: string): string => {
  if (!text.isWellFormed()) throw new UnwritableValue(brokenText);
  return text;
};

/** One row as a line of COPY text, which may yet hold half a surrogate pair: see `requireWellFormed`. */
export const encodeRow = (columns: readonly EncodeColumn[], row: Row): string => {
  let line = '';
  for (let index = 0; index < columns.length; index++) {
    const column = columns[index] as EncodeColumn;
    const value = row[column.name];
    if (index > 0) line += '\t';
    // The two commonest cases stay free of a call.
    if (typeof value === 'number') line += value;
    else if (typeof value === 'string' && column.encode === encodeValue) line += special.test(value) ? escapeText(value) : value;
    else line += column.encode(value);
  }
  return `${line}\n`;
};

export type DecodeValue = (text: string) => Value;

/** Values of a column of this type from the text that a session of `connect.ts` gives. */
export const decoderFor = (type: ColumnType): DecodeValue => {
  switch (type.kind) {
    case 'BOOLEAN':
      return (text) => text === 't';
    case 'SHORT':
    case 'INT':
    case 'FLOAT':
    case 'DOUBLE':
      return Number;
    case 'LONG':
      return (text) => {
        const number = Number(text);
        return Number.isSafeInteger(number) ? number : BigInt(text);
      };
    case 'NAIVE_DATETIME':
      return (text) => text.replace(' ', 'T');
    case 'UTC_DATETIME':
      // Sessions run in UTC, so the zone is always +00.
      return (text) => text.replace(' ', 'T').replace('+00', 'Z');
    case 'BINARY':
      return (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex'));
    case 'JSON':
      return parseExact;
    default:
      return (text) => text;
  }
};

const unescapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

const unescapeText = (text: string): string => text.replaceAll(/\\(.)/gs, (_, character: string) => unescapes[character] ?? character);

/** The raw texts of a line; null where the value is null. The line has no newline at its end. */
export const splitLine = (line: string): (string | null)[] => {
  const fields: (string | null)[] = line.split('\t');
  if (!line.includes('\\')) return fields;
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] as string;
    if (field === '\\N') fields[index] = null;
    else if (field.includes('\\')) fields[index] = unescapeText(field);
  }
  return fields;
};
