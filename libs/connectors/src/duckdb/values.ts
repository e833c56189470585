/** Values of rows to DuckDB's, exactly or not at all: nothing is rounded, cut or wrapped around. */
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalType,
  DuckDBDecimalValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBTypeId,
  DuckDBUUIDValue,
  type DuckDBType,
  type DuckDBValue,
} from '@duckdb/node-api';
import { plainNotation, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Value } from '@tributary/contracts/types';
import { dateDays, momentNanos, timeNanos } from './moments.ts';

/** Gives the value to store; undefined when the column cannot hold it. Never called with null. */
export type Encode = (value: Exclude<Value, null>) => DuckDBValue | undefined;

const integerOf = (value: Value): bigint | undefined => {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : undefined;
  return typeof value === 'string' && /^[+-]?\d{1,40}$/.test(value) ? BigInt(value.replace('+', '')) : undefined;
};

const between =
  (low: bigint, high: bigint): Encode =>
  (value) => {
    const integer = integerOf(value);
    return integer === undefined || integer < low || integer > high ? undefined : integer;
  };

/** The small integer types, which DuckDB takes as numbers. */
const smallBetween =
  (low: number, high: number): Encode =>
  (value) => {
    if (typeof value === 'number') return Number.isInteger(value) && value >= low && value <= high ? value : undefined;
    const integer = integerOf(value);
    return integer === undefined || integer < low || integer > high ? undefined : Number(integer);
  };

const floatNames: Readonly<Record<string, number>> = { NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY, '-Infinity': Number.NEGATIVE_INFINITY };

const double: Encode = (value) => {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return BigInt(Number(value)) === value ? Number(value) : undefined;
  if (typeof value !== 'string') return undefined;
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value) ? Number(value) : floatNames[value];
};

const decimal = (width: number, scale: number): Encode => {
  const limit = 10n ** BigInt(width);
  return (value) => {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return undefined;
    const match = /^([+-]?)(\d*)(?:\.(\d*))?$/.exec(plainNotation(String(value)));
    if (match === null) return undefined;
    const [, sign, whole = '', fraction = ''] = match;
    if (whole === '' && fraction === '') return undefined;
    if (/[1-9]/.test(fraction.slice(scale))) return undefined;
    const scaled = BigInt(whole + fraction.slice(0, scale).padEnd(scale, '0'));
    return scaled >= limit ? undefined : new DuckDBDecimalValue(sign === '-' ? -scaled : scaled, width, scale);
  };
};

const boolean: Encode = (value) => (typeof value === 'boolean' ? value : value === 'true' ? true : value === 'false' ? false : undefined);

const text: Encode = (value) => {
  if (typeof value === 'string') return value.isWellFormed() ? value : undefined;
  if (value instanceof Uint8Array) return undefined;
  return typeof value === 'object' ? stringifyExact(value) : String(value);
};

const json: Encode = (value) => {
  if (value instanceof Uint8Array) return undefined;
  const written = stringifyExact(value);
  return written.isWellFormed() ? written : undefined;
};

const micros = (nanos: bigint): bigint | undefined => (nanos % 1000n === 0n ? nanos / 1000n : undefined);

/** `Date` objects never occur; a text with an offset is an instant, which a column without a zone cannot hold. */
const naive = (value: Value): bigint | undefined => {
  if (typeof value !== 'string') return undefined;
  const moment = momentNanos(value);
  if (moment !== null) return moment.zoned ? undefined : moment.nanos;
  const day = dateDays(value);
  return day === null ? undefined : BigInt(day) * 86_400_000_000_000n;
};

const instant = (value: Value): bigint | undefined => {
  const moment = typeof value === 'string' ? momentNanos(value) : null;
  return moment?.zoned === true ? moment.nanos : undefined;
};

const uuid: Encode = (value) =>
  typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)
    ? DuckDBUUIDValue.fromUint128(BigInt(`0x${value.replaceAll('-', '')}`))
    : undefined;

const whenDefined = <In, Out>(value: In | null | undefined, make: (value: In) => Out): Out | undefined =>
  value === null || value === undefined ? undefined : make(value);

/** How values of a column get in; null for types that this target cannot write. `name` is the type's name in SQL. */
export const encoderOf = (type: DuckDBType, name: string): Encode | null => {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return boolean;
    case DuckDBTypeId.TINYINT:
      return smallBetween(-128, 127);
    case DuckDBTypeId.SMALLINT:
      return smallBetween(-32768, 32767);
    case DuckDBTypeId.INTEGER:
      return smallBetween(-2147483648, 2147483647);
    case DuckDBTypeId.UTINYINT:
      return smallBetween(0, 255);
    case DuckDBTypeId.USMALLINT:
      return smallBetween(0, 65535);
    case DuckDBTypeId.UINTEGER:
      return smallBetween(0, 4294967295);
    case DuckDBTypeId.BIGINT:
      return between(-(2n ** 63n), 2n ** 63n - 1n);
    case DuckDBTypeId.UBIGINT:
      return between(0n, 2n ** 64n - 1n);
    case DuckDBTypeId.HUGEINT:
      return between(-(2n ** 127n), 2n ** 127n - 1n);
    case DuckDBTypeId.FLOAT:
    case DuckDBTypeId.DOUBLE:
      return double;
    case DuckDBTypeId.DECIMAL:
      return type instanceof DuckDBDecimalType ? decimal(type.width, type.scale) : null;
    case DuckDBTypeId.VARCHAR:
      return name === 'JSON' ? json : text;
    case DuckDBTypeId.BLOB:
      return (value) => (value instanceof Uint8Array ? new DuckDBBlobValue(value) : undefined);
    case DuckDBTypeId.DATE:
      return (value) => whenDefined(typeof value === 'string' ? dateDays(value) : null, (days) => new DuckDBDateValue(days));
    case DuckDBTypeId.TIME:
      return (value) => whenDefined(whenDefined(typeof value === 'string' ? timeNanos(value) : null, micros), (time) => new DuckDBTimeValue(time));
    case DuckDBTypeId.TIMESTAMP:
      return (value) => whenDefined(whenDefined(naive(value), micros), (moment) => new DuckDBTimestampValue(moment));
    case DuckDBTypeId.TIMESTAMP_TZ:
      return (value) => whenDefined(whenDefined(instant(value), micros), (moment) => new DuckDBTimestampTZValue(moment));
    case DuckDBTypeId.TIMESTAMP_NS:
      return (value) => whenDefined(naive(value), (moment) => new DuckDBTimestampNanosecondsValue(moment));
    case DuckDBTypeId.UUID:
      return uuid;
    default:
      return null;
  }
};
