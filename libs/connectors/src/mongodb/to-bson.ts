/** Values of rows as BSON, exactly or not at all: nothing is rounded, cut or wrapped around, but where the connection asks for milliseconds. */
import { Binary, Decimal128, Double, Int32, Long, type Document } from 'mongodb';
import { longDecimal, shownExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import type { Column, ColumnType, Row, Value } from '@tributary/contracts/types';
import type { TargetConfig } from './config.ts';

/** Names the column and says why MongoDB cannot hold the row. */
export class UnwritableValue extends Error {}

type Encode = (value: Exclude<Value, null>) => unknown;

const show = (value: unknown): string => cutText(shownExact(value), 200).toWellFormed();

const unfit = (value: unknown, what: string): UnwritableValue => new UnwritableValue(`${show(value)} is no ${what} that MongoDB holds exactly`);

/** Levels that the server takes: https://www.mongodb.com/docs/manual/reference/limits/ */
const deepest = 100;

const longest = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

const decimalOf = (plain: string): Decimal128 | null => {
  try {
    return Decimal128.fromString(plain);
  } catch {
    // More than 34 digits: https://www.mongodb.com/docs/manual/reference/bson-types/
    return null;
  }
};

const wellFormed = (text: string): string => {
  if (!text.isWellFormed()) throw new UnwritableValue(`${show(text)} is a text with half a character (a lone surrogate)`);
  return text;
};

const bytes = (value: Uint8Array): Binary => new Binary(Buffer.from(value.buffer, value.byteOffset, value.byteLength));

const integer = (value: bigint): unknown => {
  if (value >= longest.min && value <= longest.max) return Long.fromBigInt(value);
  const decimal = decimalOf(String(value));
  if (decimal === null) throw unfit(value, 'number');
  return decimal;
};

/** A value of which nothing is declared. Numbers are what MongoDB's own drivers make of them, but for whole ones beyond 32 bits, which are no doubles. */
const natural = (value: Value | undefined, depth = 1): unknown => {
  switch (typeof value) {
    case 'string':
      return wellFormed(value);
    case 'number':
      return Number.isSafeInteger(value) && Math.abs(value) > 0x7fff_ffff ? Long.fromNumber(value) : value;
    case 'bigint':
      return integer(value);
    case 'object':
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (value instanceof Uint8Array) return bytes(value);
  if (depth >= deepest) throw new UnwritableValue(`it is nested deeper than the ${deepest} levels of a document of MongoDB`);
  if (Array.isArray(value)) return value.map((item) => natural(item, depth + 1));
  const plain = longDecimal(value);
  if (plain !== null) {
    const decimal = decimalOf(plain);
    if (decimal === null) throw new UnwritableValue(`${plain.slice(0, 200)} has more than the 34 digits of a number of MongoDB`);
    return decimal;
  }
  const document: Document = {};
  for (const name of Object.keys(value)) put(document, name, natural(value[name], depth + 1));
  return document;
};

const put = (document: Document, name: string, value: unknown): void => {
  if (name.includes('\0')) throw new UnwritableValue(`the name ${show(name)} holds a NUL, which no name in MongoDB can`);
  wellFormed(name);
  if (name === '__proto__') Object.defineProperty(document, name, { value, enumerable: true, configurable: true, writable: true });
  else document[name] = value;
};

const text: Encode = (value) => {
  if (typeof value !== 'string') throw unfit(value, 'text');
  return wellFormed(value);
};

const small: Encode = (value) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 0x8000_0000) throw unfit(value, 'integer');
  return new Int32(value);
};

const long: Encode = (value) => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return Long.fromNumber(value);
  if (typeof value === 'bigint' && value >= longest.min && value <= longest.max) return Long.fromBigInt(value);
  throw unfit(value, 'integer of 64 bits');
};

const double: Encode = (value) => {
  if (typeof value !== 'number') throw unfit(value, 'float');
  return new Double(value);
};

/** As text where it has more digits than a Decimal128: losing some is worse. */
const decimal: Encode = (value) => {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') throw unfit(value, 'decimal');
  return decimalOf(String(value)) ?? String(value);
};

const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d+))?Z$/;

const instant =
  (kept: TargetConfig['date_times']): Encode =>
  (value) => {
    if (typeof value !== 'string') throw unfit(value, 'time');
    const match = moment.exec(value);
    if (kept === 'text' || match === null) return wellFormed(value);
    const fraction = match[1] ?? '';
    if (kept === 'exact' && /[1-9]/.test(fraction.slice(3))) return value;
    const date = new Date(`${value.slice(0, 19)}.${fraction.slice(0, 3).padEnd(3, '0')}Z`);
    return Number.isNaN(date.getTime()) ? value : date;
  };

const encoderFor = (type: ColumnType, config: TargetConfig): Encode => {
  switch (type.kind) {
    case 'SHORT':
    case 'INT':
      return small;
    case 'LONG':
      return long;
    case 'FLOAT':
    case 'DOUBLE':
      return double;
    case 'DECIMAL':
      return decimal;
    case 'UTC_DATETIME':
      return instant(config.date_times);
    case 'BOOLEAN':
      return (value) => {
        if (typeof value !== 'boolean') throw unfit(value, 'boolean');
        return value;
      };
    case 'BINARY':
      return (value) => {
        if (!(value instanceof Uint8Array)) throw unfit(value, 'bytes');
        return bytes(value);
      };
    case 'STRING':
    case 'XML':
    case 'NAIVE_DATE':
    case 'NAIVE_TIME':
    case 'NAIVE_DATETIME':
      return text;
    case 'JSON':
      return (value) => natural(value);
  }
};

const undeclared: Encode = (value) => natural(value);

/** Makes documents of rows. What it gives throws UnwritableValue for a row that MongoDB cannot hold. */
export const documentEncoder = (columns: readonly Column[] | null, config: TargetConfig): ((row: Row, only?: readonly string[]) => Document) => {
  const encoders = new Map((columns ?? []).flatMap(({ name, type }) => (type === null ? [] : [[name, encoderFor(type, config)] as const])));
  return (row, only) => {
    const document: Document = {};
    for (const name of only ?? Object.keys(row)) {
      const value = row[name];
      if (value === undefined) continue;
      try {
        put(document, name, value === null ? null : (encoders.get(name) ?? undeclared)(value));
      } catch (error) {
        if (error instanceof UnwritableValue) throw new UnwritableValue(`Column "${name.toWellFormed()}": ${error.message}.`);
        throw error;
      }
    }
    return document;
  };
};
