/**
 * Casts of the mapper. A cast takes a value that is neither null nor missing and gives it in the representation of
 * contracts/types.ts, null for JSON's `null`, or undefined when the value is no such thing: throwing would cost
 * a stack trace for every bad row.
 *
 * - Nothing is rounded or cut in silence: `3.7` is no int, `300 digits` stay a decimal, 64-bit integers stay exact.
 * - `datetime` gives UTC. A value without a zone is taken as UTC. Numbers are epoch seconds, or milliseconds from 1e11 on.
 * - `date` and `time` keep date and time as written, whatever zone is behind them.
 * - A decimal from inside a JSON document that no double holds is taken as its text would be, but by `json`.
 * - With a `cast_format` the format alone decides, for numbers as well (`20240131` in `%Y%m%d`).
 */
import { isUtf8 } from 'node:buffer';
import { longDecimal, parseExact, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { MapperColumn } from '@tributary/contracts/mapper';
import type { ColumnType, Value } from '@tributary/contracts/types';
import { readIsoDateTime, readIsoTime } from './iso.ts';
import { dateText, epochText, newMoment, setEpoch, timeText, utcText } from './moment.ts';
import { compileFormat } from './strftime.ts';

export type CastName = NonNullable<MapperColumn['cast']>;
type Present = NonNullable<Value>;
export type Cast = (value: Present) => Value | undefined;

export const castTypes: Readonly<Record<CastName, ColumnType>> = {
  string: { kind: 'STRING' },
  int: { kind: 'LONG' },
  float: { kind: 'DOUBLE' },
  bool: { kind: 'BOOLEAN' },
  date: { kind: 'NAIVE_DATE' },
  datetime: { kind: 'UTC_DATETIME' },
  time: { kind: 'NAIVE_TIME' },
  json: { kind: 'JSON' },
  decimal: { kind: 'DECIMAL', precision: null, scale: null },
};

/** With article, for sentences. */
export const castTitles: Readonly<Record<CastName, string>> = {
  string: 'UTF-8 text',
  int: 'a 64-bit int',
  float: 'a float',
  bool: 'a bool',
  date: 'a date',
  datetime: 'a datetime',
  time: 'a time',
  json: 'JSON',
  decimal: 'a decimal',
};

/** Text of any value: JSON for objects and arrays, plain digits for numbers; undefined for bytes that are not UTF-8. */
export const castString = (value: Present): string | undefined => {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return Math.abs(value) < 1e21 ? String(value) : (plainDecimal(String(value)) ?? String(value));
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value instanceof Uint8Array) return isUtf8(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8') : undefined;
  return longDecimal(value) ?? stringifyExact(value);
};

/** `cast` of the text of a decimal that JSON kept for us. */
const orLongDecimal = <Out>(value: Present, cast: (text: string) => Out | undefined): Out | undefined => {
  const text = longDecimal(value);
  return text === null ? undefined : cast(text);
};

const smallestSafe = BigInt(Number.MIN_SAFE_INTEGER);
const largestSafe = BigInt(Number.MAX_SAFE_INTEGER);
const smallestLong = -(2n ** 63n);
const largestLong = 2n ** 63n - 1n;
const intText = /^\s*([+-]?\d+)(?:\.0*)?\s*$/;

const toLong = (value: bigint): number | bigint | undefined => {
  if (value >= smallestSafe && value <= largestSafe) return Number(value);
  return value >= smallestLong && value <= largestLong ? value : undefined;
};

const castInt = (value: Present): number | bigint | undefined => {
  if (typeof value === 'number') {
    // `+ 0` makes 0 of -0.
    if (Number.isSafeInteger(value)) return value + 0;
    return Number.isInteger(value) ? toLong(BigInt(value)) : undefined;
  }
  if (typeof value === 'string') {
    const digits = intText.exec(value)?.[1];
    if (digits === undefined) return undefined;
    if (digits.length <= 15) return Number(digits) + 0;
    return digits.length <= 400 ? toLong(BigInt(digits.startsWith('+') ? digits.slice(1) : digits)) : undefined;
  }
  if (typeof value === 'bigint') return toLong(value);
  if (typeof value === 'boolean') return Number(value);
  return orLongDecimal(value, castInt);
};

const floatText = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/;
const notFiniteText = /^\s*([+-]?)(nan|inf|infinity)\s*$/i;

const castFloat = (value: Present): number | undefined => {
  if (typeof value === 'number') return value;
  if (typeof value === 'string') {
    if (floatText.test(value)) {
      const parsed = Number(value);
      return Number.isFinite(parsed) ? parsed : undefined;
    }
    const notFinite = notFiniteText.exec(value);
    if (notFinite === null) return undefined;
    if (notFinite[2]?.toLowerCase() === 'nan') return Number.NaN;
    return notFinite[1] === '-' ? -Infinity : Infinity;
  }
  if (typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
  return orLongDecimal(value, castFloat);
};

const booleans: ReadonlyMap<string, boolean> = new Map([
  ...['true', 't', 'yes', 'y', 'on', '1'].map((text): [string, boolean] => [text, true]),
  ...['false', 'f', 'no', 'n', 'off', '0'].map((text): [string, boolean] => [text, false]),
]);

const castBool = (value: Present): boolean | undefined => {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'number') return value === 1 ? true : value === 0 ? false : undefined;
  if (typeof value === 'string') return booleans.get(value) ?? booleans.get(value.trim().toLowerCase());
  if (typeof value === 'bigint') return value === 1n ? true : value === 0n ? false : undefined;
  return undefined;
};

const decimalText = /^\s*([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?\s*$/;
/** PostgreSQL's numeric holds 131072 digits before the point; beyond this, an exponent is a mistake or an attack. */
const mostZeros = 10_000;

/** Plain notation of a number's text, digits kept as they are; undefined for anything else. */
const plainDecimal = (text: string): string | undefined => {
  const parts = decimalText.exec(text);
  if (parts === null) return undefined;
  let whole = parts[2] ?? '';
  let fraction = parts[3] ?? '';
  if (whole === '' && fraction === '') return undefined;
  const exponent = parts[4] === undefined ? 0 : Number(parts[4]);
  if (Math.abs(exponent) > mostZeros) return undefined;
  if (exponent > 0) {
    whole += fraction.slice(0, exponent).padEnd(exponent, '0');
    fraction = fraction.slice(exponent);
  } else if (exponent < 0) {
    const padded = whole.padStart(-exponent, '0');
    fraction = padded.slice(padded.length + exponent) + fraction;
    whole = padded.slice(0, padded.length + exponent);
  }
  let first = 0;
  while (first < whole.length - 1 && whole.charCodeAt(first) === 48) first += 1;
  whole = whole === '' ? '0' : whole.slice(first);
  const plain = fraction === '' ? whole : `${whole}.${fraction}`;
  return parts[1] === '-' && /[1-9]/.test(plain) ? `-${plain}` : plain;
};

const castDecimal = (value: Present): string | undefined => {
  if (typeof value === 'string') return plainDecimal(value);
  // String() gives the shortest text that reads back as the same double: what the JSON said, up to 15 digits.
  if (typeof value === 'number') return plainDecimal(String(value));
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'boolean') return value ? '1' : '0';
  return orLongDecimal(value, castDecimal);
};

const castJson = (value: Present): Value | undefined => {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) return value;
  const text = castString(value);
  if (text === undefined) return undefined;
  try {
    return parseExact(text);
  } catch {
    return undefined;
  }
};

/** One value is cast at a time, so one moment serves all. */
const moment = newMoment();

/** From here on a number is an epoch for sure: fewer seconds would be before March 1973, and could as well count days. */
const firstEpochOfDate = 1e8;

const epochOf = (value: number | bigint): number => (typeof value === 'number' ? value : Number(value));

const castDate = (value: Present): string | undefined => {
  if (typeof value === 'string') return readIsoDateTime(value.trim(), moment) ? dateText(moment) : undefined;
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const epoch = epochOf(value);
  return Math.abs(epoch) >= firstEpochOfDate && setEpoch(moment, epoch) ? dateText(moment) : undefined;
};

const castDatetime = (value: Present): string | undefined => {
  if (typeof value === 'string') return readIsoDateTime(value.trim(), moment) ? utcText(moment) : undefined;
  return typeof value === 'number' || typeof value === 'bigint' ? epochText(epochOf(value)) : undefined;
};

const castTime = (value: Present): string | undefined => (typeof value === 'string' && readIsoTime(value.trim(), moment) ? timeText(moment) : undefined);

const casts: Readonly<Record<CastName, Cast>> = {
  string: castString,
  int: castInt,
  float: castFloat,
  bool: castBool,
  date: castDate,
  datetime: castDatetime,
  time: castTime,
  json: castJson,
  decimal: castDecimal,
};

const momentTexts = { date: dateText, datetime: utcText, time: timeText };

/** `format` counts for date, datetime and time only. @throws CONFIG_INVALID */
export const compileCast = (cast: CastName, format: string | null | undefined): Cast => {
  if (!format || (cast !== 'date' && cast !== 'datetime' && cast !== 'time')) return casts[cast];
  const parse = compileFormat(format, cast);
  const write = momentTexts[cast];
  const byFormat: Cast = (value) => {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return orLongDecimal(value, byFormat);
    return parse(typeof value === 'string' ? value.trim() : String(value), moment) ? write(moment) : undefined;
  };
  return byFormat;
};
