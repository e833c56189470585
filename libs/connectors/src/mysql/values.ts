/** Values of rows → what a column is given, and the server's text → values. What a column would not hold as it is, is refused here. */
import { hasLongNumber, parseExact, plainNotation, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { ColumnType, Row, Value } from '@tributary/contracts/types';
import { columnTypeOf, isTextual, type MysqlType } from './types.ts';

/** Thrown for a value that the column cannot hold; `reason` says why, without the column's name. */
export class UnwritableValue extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

/** How a field is written: `text` quoted, `hex` as the digits of its bytes, `number` as digits. */
export type Form = 'text' | 'hex' | 'number';

export interface EncodeColumn {
  readonly name: string;
  readonly form: Form;
  /** @throws UnwritableValue */
  readonly encode: (value: Value) => string;
}

const shown = (value: Value): string => {
  const text = typeof value === 'string' ? value : stringifyExact(value);
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
};

const brokenText = 'the text holds half a surrogate pair, which is no character in UTF-8';

const textOf = (value: Value): string => {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new UnwritableValue(brokenText);
    return value;
  }
  if (value instanceof Uint8Array) throw new UnwritableValue('bytes are no text');
  return stringifyExact(value);
};

const numberText = (value: Exclude<Value, boolean>): string => (typeof value === 'object' ? stringifyExact(value) : plainNotation(String(value)));

const integer = (value: Value): string => {
  if (typeof value === 'boolean') return value ? '1' : '0';
  const text = numberText(value);
  if (!/^-?\d+$/.test(text)) throw new UnwritableValue(`${shown(value)} is no whole number`);
  return text;
};

const decimal =
  (scale: number) =>
  (value: Value): string => {
    const text = typeof value === 'boolean' ? (value ? '1' : '0') : numberText(value);
    const match = /^[+-]?\d*\.?(\d*)$/.exec(text);
    if (match === null || !/\d/.test(text)) throw new UnwritableValue(`${shown(value)} is no decimal number`);
    // The server would round it without a word that stops it.
    if (text.includes('.') && (match[1] ?? '').replace(/0+$/, '').length > scale)
      throw new UnwritableValue(`${shown(value)} has more than ${scale} decimal places`);
    return text;
  };

const floating = (value: Value): string => {
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  const text = numberText(value);
  const number = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(number)) throw new UnwritableValue(`${shown(value)} is no number that the column holds`);
  if (withoutZeros(plainNotation(String(number))) !== withoutZeros(text)) throw new UnwritableValue(`${shown(value)} has more digits than the column holds`);
  return text;
};

const withoutZeros = (plain: string): string => (plain.includes('.') ? plain.replace(/\.?0+$/, '') : plain);

const instant =
  (pattern: RegExp, fraction: number, about: string) =>
  (value: Value): string => {
    const match = typeof value === 'string' ? pattern.exec(value) : null;
    if (match === null) throw new UnwritableValue(`${shown(value)} is no ${about}`);
    if ((match.groups?.['fraction'] ?? '').replace(/0+$/, '').length > fraction)
      throw new UnwritableValue(`${shown(value)} has more than ${fraction} digits of a second`);
    return (match[0] ?? '').replace('T', ' ').replace('Z', '');
  };

const dateTimePattern = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.(?<fraction>\d+))?)?Z?$/;
const timePattern = /^-?\d{1,3}:\d\d:\d\d(?:\.(?<fraction>\d+))?$/;

const bytes =
  (fixed: number | null) =>
  (value: Value): string => {
    const buffer = value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(textOf(value));
    if (fixed !== null && buffer.length < fixed) throw new UnwritableValue(`${buffer.length} bytes would be filled up to ${fixed}`);
    return buffer.toString('hex');
  };

/** Numbers beyond a double or 64 bits become doubles in MySQL's own form of JSON. */
const nativeJson = (value: Value): string => {
  const text = json(value);
  if (hasLongNumber(text) && holdsLongNumber(parseExact(text))) throw new UnwritableValue('the document holds a number with more digits than the column keeps');
  return text;
};

const holdsLongNumber = (value: Value): boolean => {
  if (typeof value === 'bigint') return value > 18_446_744_073_709_551_615n || value < -9_223_372_036_854_775_808n;
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  return JSON.isRawJSON(value) || Object.values(value).some((part) => holdsLongNumber(part));
};

const json = (value: Value): string => {
  const text = stringifyExact(value);
  // JSON.stringify escapes what is broken, and the server would not take the escape.
  if (/\\ud[89a-f]/i.test(text) && !isWhole(value)) throw new UnwritableValue(brokenText);
  return text;
};

const isWhole = (value: Value): boolean => {
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return true;
  return Object.entries(value).every(([name, part]) => name.isWellFormed() && isWhole(part));
};

/** A number given to an enumeration as text would be taken for the place of a word in it. */
const enumeration =
  (sql: string) =>
  (value: Value): string => {
    const text = textOf(value);
    if (/^\d+$/.test(text) && !sql.includes(`'${text}'`)) throw new UnwritableValue(`${shown(value)} is none of ${sql}`);
    return text;
  };

const character = (value: Value): string => {
  const text = textOf(value);
  if (text.endsWith(' ')) throw new UnwritableValue('the column is of type char, which drops spaces at the end');
  return text;
};

const lengthOf = (sql: string): number => Number(/\((\d+)\)/.exec(sql)?.[1] ?? 1);

export const encoderFor = (type: MysqlType): Pick<EncodeColumn, 'form' | 'encode'> => {
  switch (type.name) {
    case 'boolean':
    case 'tinyint':
    case 'smallint':
    case 'mediumint':
    case 'int':
    case 'bigint':
    case 'year':
      return { form: 'text', encode: integer };
    case 'bit':
      return { form: 'number', encode: integer };
    case 'decimal':
      return { form: 'text', encode: decimal(type.scale ?? 0) };
    case 'float':
    case 'double':
      return { form: 'text', encode: floating };
    case 'date':
      return { form: 'text', encode: instant(/^\d{4}-\d\d-\d\d$/, 0, 'date') };
    case 'time':
      return { form: 'text', encode: instant(timePattern, type.fraction ?? 0, 'time of day') };
    case 'datetime':
    case 'timestamp':
      return { form: 'text', encode: instant(dateTimePattern, type.fraction ?? 0, 'date and time in UTC') };
    case 'json':
      return { form: 'text', encode: type.isNativeJson ? nativeJson : json };
    case 'enum':
      return { form: 'text', encode: enumeration(type.sql) };
    case 'char':
      return { form: 'text', encode: character };
    case 'binary':
      return { form: 'hex', encode: bytes(lengthOf(type.sql)) };
    default:
      return isTextual(type) ? { form: 'text', encode: textOf } : { form: 'hex', encode: bytes(null) };
  }
};

/** The fields of a row; null where it has no value. @throws UnwritableValue, which names the column. */
export const encodeFields = (columns: readonly EncodeColumn[], row: Row, longest: number): (string | null)[] => {
  const fields: (string | null)[] = Array.from({ length: columns.length });
  let total = 0;
  for (let index = 0; index < columns.length; index++) {
    const column = columns[index] as EncodeColumn;
    const value = row[column.name];
    if (value === null || value === undefined) {
      fields[index] = null;
      continue;
    }
    try {
      const field = column.encode(value);
      fields[index] = field;
      total += field.length;
    } catch (error) {
      if (!(error instanceof UnwritableValue)) throw error;
      throw new UnwritableValue(`Column "${column.name}": ${error.reason}.`);
    }
  }
  // A character has at most 3 bytes a unit of UTF-16, and its escape one more.
  if (total * 4 > longest && fields.reduce((sum, field) => sum + Buffer.byteLength(field ?? ''), 0) * 2 > longest)
    throw new UnwritableValue(`The row is larger than half of the server's max_allowed_packet, ${longest} bytes.`);
  return fields;
};

/** How a column is selected, so that its text has every digit. */
export const selectTerm = (quotedName: string, type: MysqlType): string => {
  // A float is shown with 6 digits; as a double it has all of them.
  if (type.name === 'float') return `${quotedName} + 0e0`;
  return type.name === 'bit' ? `${quotedName} + 0` : quotedName;
};

export type DecodeValue = (bytes: Buffer) => Value;

/** Values of a column from the bytes that `selectTerm` gives in a session of `connect.ts`. */
export const decoderFor = (type: MysqlType): DecodeValue => decoderOf(columnTypeOf(type));

export const decoderOf = (type: ColumnType): DecodeValue => {
  switch (type.kind) {
    case 'BOOLEAN':
      return (raw) => {
        const text = raw.toString('latin1');
        // What is neither is handed on as the number that it is.
        return text === '1' ? true : text === '0' ? false : Number(text);
      };
    case 'SHORT':
    case 'INT':
    case 'DOUBLE':
      return (raw) => Number(raw.toString('latin1'));
    case 'FLOAT':
      return (raw) => shortestFloat(Number(raw.toString('latin1')));
    case 'LONG':
      return (raw) => {
        const text = raw.toString('latin1');
        const number = Number(text);
        return Number.isSafeInteger(number) ? number : BigInt(text);
      };
    case 'DECIMAL':
    case 'NAIVE_DATE':
    case 'NAIVE_TIME':
      return (raw) => raw.toString('latin1');
    case 'NAIVE_DATETIME':
      return (raw) => raw.toString('latin1').replace(' ', 'T');
    case 'UTC_DATETIME':
      return (raw) => `${raw.toString('latin1').replace(' ', 'T')}Z`;
    case 'BINARY':
      // A copy: the driver's buffer holds whole packets.
      return (raw) => new Uint8Array(raw);
    case 'JSON':
      return (raw) => parseExact(raw.toString('utf8'));
    default:
      return (raw) => raw.toString('utf8');
  }
};

/** The shortest number that is this single-precision one: 0.1 for 0.10000000149011612. */
const shortestFloat = (value: number): number => {
  for (let digits = 6; digits <= 8; digits++) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return shorter;
  }
  return value;
};
