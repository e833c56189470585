/** Values of rows to SQLite's, exactly or not at all: nothing is rounded, cut or turned into another type behind our back by a column's affinity. */
import { plainNotation, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { ColumnType, Value } from '@tributary/contracts/types';
import { affinityOf, columnTypeOf, isBooleanType } from './column-types.ts';

export type Stored = null | number | bigint | string | Uint8Array;

/** Gives the value to store; undefined when the column cannot hold it. Never called with null. */
export type Encode = (value: Exclude<Value, null>) => Stored | undefined;

const wellFormed = (text: string): string | undefined => (text.isWellFormed() ? text : undefined);

const isDocument = (value: Value): boolean => typeof value === 'object' && value !== null && !(value instanceof Uint8Array);

/** A text without the zeros that end a fraction. */
const shortest = (plain: string): string => (plain.includes('.') ? plain.replace(/\.?0+$/, '') : plain);

const int64 = (value: bigint): bigint | undefined => (value >= -(2n ** 63n) && value < 2n ** 63n ? value : undefined);

/** A number that SQLite holds to the last digit; NaN would be stored as null. */
const number: Encode = (value) => {
  if (typeof value === 'number') return Number.isNaN(value) ? undefined : value;
  if (typeof value === 'bigint') return int64(value);
  if (typeof value !== 'string' || !/^-?(0|[1-9]\d*)(\.\d+)?$/.test(value)) return undefined;
  if (!value.includes('.')) return value.length > 20 ? undefined : int64(BigInt(value));
  const double = Number(value);
  return Number.isFinite(double) && plainNotation(String(double)) === shortest(value) ? double : undefined;
};

const real: Encode = (value) => {
  const exact = number(value);
  if (typeof exact !== 'bigint') return exact;
  return BigInt(Number(exact)) === exact ? Number(exact) : undefined;
};

const boolean: Encode = (value) =>
  value === true || value === 'true' || value === 1 ? 1 : value === false || value === 'false' || value === 0 ? 0 : undefined;

const text: Encode = (value) => {
  if (typeof value === 'string') return wellFormed(value);
  if (value instanceof Uint8Array) return undefined;
  return typeof value === 'object' ? wellFormed(stringifyExact(value)) : String(value);
};

const json: Encode = (value) => (value instanceof Uint8Array ? undefined : wellFormed(stringifyExact(value)));

const decimal: Encode = (value) => {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const plain = plainNotation(String(value));
  return /^-?\d+(\.\d+)?$/.test(plain) ? plain : undefined;
};

/** Six digits at least, so that texts sort as the times they are. */
const time =
  (pattern: RegExp): Encode =>
  (value) => {
    const match = typeof value === 'string' ? pattern.exec(value) : null;
    return match === null ? undefined : `${match[1]}.${(match[2] ?? '').padEnd(6, '0')}${match[3] ?? ''}`;
  };

const date: Encode = (value) => (typeof value === 'string' && /^[+-]?\d{4,6}-\d\d-\d\d$/.test(value) ? value : undefined);

/** A column without affinity keeps each value as what it is. */
const anything: Encode = (value) => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : number(value);
  if (typeof value === 'bigint') return int64(value) ?? String(value);
  if (typeof value === 'boolean') return value ? 1n : 0n;
  return value instanceof Uint8Array ? value : text(value);
};

const moments: Readonly<Record<string, Encode>> = {
  NAIVE_DATE: date,
  NAIVE_TIME: time(/^(\d\d:\d\d:\d\d)(?:\.(\d+))?$/),
  NAIVE_DATETIME: time(/^([+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?$/),
  UTC_DATETIME: time(/^([+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z)$/),
};

/** How values get into a column of the type `existing`, for which the mapper declares `declared` (null: nothing). */
export const encoderOf = (existing: string, declared: ColumnType | null): Encode => {
  const kind = declared?.kind;
  const own = columnTypeOf(existing)?.kind;
  if (own === 'JSON') return json;
  if (own === 'DECIMAL' && affinityOf(existing) === 'text') return decimal;
  const moment = moments[own ?? ''] ?? moments[kind ?? ''];
  if (moment !== undefined) return moment;
  if (kind === 'JSON') return json;
  switch (affinityOf(existing)) {
    case 'integer':
    case 'numeric':
      if (isBooleanType(existing) || kind === 'BOOLEAN') return boolean;
      // Text that looks like no number stays text in such a column; what its owner means by DATE is not known.
      if (/DATE|TIME/i.test(existing))
        return (value) => (typeof value === 'string' && !/^\s*[+-]?\.?\d+(\.\d*)?(e[+-]?\d+)?\s*$/i.test(value) ? wellFormed(value) : number(value));
      return number;
    case 'real':
      return real;
    case 'text':
      return text;
    case 'blob':
      return (value) => (value instanceof Uint8Array ? value : undefined);
    case 'none':
      return (value) => (isDocument(value) ? json(value) : anything(value));
  }
};
