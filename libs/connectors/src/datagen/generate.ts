/** Columns to functions that make their values. */
import type { Column, ColumnType, Row, Value } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { DatagenConfig, GeneratedColumn } from './config.ts';
import { fractionOf, hash32, saltOf } from './random.ts';

type Make = (index: number) => Value;

interface Maker {
  readonly type: ColumnType | null;
  readonly make: Make;
  /** Bytes of a value as text, on average. */
  readonly bytes: number;
}

export interface Generator {
  readonly columns: readonly Column[];
  readonly primaryKey: readonly string[];
  /** Bytes of a row, about. */
  readonly rowBytes: number;
  readonly rowAt: (index: number) => Row;
}

const payloadColumn = 'payload';

const refuse = (column: string, problem: string): never => {
  throw new TributaryError('CONFIG_INVALID', `columns: column "${column}" ${problem}.`);
};

const plain = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value);

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const hexOf = (value: number): string => `${hex[value >>> 24]}${hex[(value >>> 16) & 255]}${hex[(value >>> 8) & 255]}${hex[value & 255]}`;

const poolLength = 65_536;
const letters = 'etaoin shrdlu cmfwyp vbgkjqxz 0123456789 etaoin';

/** Texts are pieces of one long text. */
const textMaker = (salt: number, shortest: number, longest: number): Make => {
  const length = Math.max(poolLength, longest * 2);
  let pool = '';
  for (let at = 0; at < length; at += 1) pool += letters[(hash32(at, salt) >>> 0) % letters.length] ?? ' ';
  const span = longest - shortest + 1;
  return (index) => {
    const size = span === 1 ? shortest : shortest + Math.floor(fractionOf(index, salt ^ 0x2545f491) * span);
    const from = (hash32(index, salt) >>> 0) % (length - longest);
    return pool.slice(from, from + size);
  };
};

const sequenceMaker = (start: bigint, step: number): Make => {
  const first = Number(start);
  // Plain numbers up to the index at which they would lose digits.
  const safe = Number.isSafeInteger(first)
    ? step === 0
      ? Number.MAX_SAFE_INTEGER
      : Math.floor((Number.MAX_SAFE_INTEGER - Math.abs(first)) / Math.abs(step))
    : -1;
  return (index) => (index <= safe ? first + index * step : plain(start + BigInt(index) * BigInt(step)));
};

const timestampMaker = (start: bigint, step: number): Make => {
  let second = Number.NaN;
  let text = '';
  const first = Number(start);
  const format = (seconds: number, micros: number): string => {
    // Rows that follow each other often share their second, and formatting it is what costs.
    if (seconds !== second) {
      second = seconds;
      text = new Date(seconds * 1000).toISOString().slice(0, -4);
    }
    return `${text}${String(micros).padStart(6, '0')}Z`;
  };
  return (index) => {
    const offset = index * step;
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(first + offset)) {
      const micros = start + BigInt(index) * BigInt(step);
      const rest = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
      return format(Number((micros - rest) / 1_000_000n), Number(rest));
    }
    const micros = first + offset;
    const seconds = Math.floor(micros / 1_000_000);
    return format(seconds, micros - seconds * 1_000_000);
  };
};

/** Microseconds since 1970 of an instant written in ISO 8601. */
const microsOf = (text: string): bigint | null => {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z$/.exec(text);
  const milliseconds = match === null ? Number.NaN : Date.parse(`${match[1]}Z`);
  return match === null || Number.isNaN(milliseconds) ? null : BigInt(milliseconds) * 1000n + BigInt((match[2] ?? '').padEnd(6, '0'));
};

const choiceType = (values: readonly (string | number | boolean)[]): ColumnType | null => {
  if (values.every((value) => typeof value === 'string')) return { kind: 'STRING' };
  if (values.every((value) => typeof value === 'boolean')) return { kind: 'BOOLEAN' };
  if (values.every((value) => Number.isSafeInteger(value))) return { kind: 'LONG' };
  return values.every((value) => typeof value === 'number') ? { kind: 'DOUBLE' } : null;
};

const decimalMaker = (salt: number, min: number, max: number, scale: number): Make => {
  const span = max - min;
  // The digits of the fraction by nines, which an integer hash gives at once.
  const parts = Array.from({ length: Math.ceil(scale / 9) }, (_, part) => Math.min(9, scale - part * 9));
  return (index) => {
    const whole = min + Math.floor(fractionOf(index, salt) * span);
    if (scale === 0) return String(whole);
    let text = `${whole}.`;
    for (let part = 0; part < parts.length; part += 1) {
      const digits = parts[part] ?? 0;
      text += String((hash32(index, salt + 1 + part) >>> 0) % 10 ** digits).padStart(digits, '0');
    }
    return text;
  };
};

const makerOf = (column: GeneratedColumn, salt: number): Maker => {
  if ('min' in column && column.max < column.min) return refuse(column.name, `has a max of ${column.max}, below its min of ${column.min}`);
  switch (column.kind) {
    case 'sequence':
      return { type: { kind: 'LONG' }, make: sequenceMaker(BigInt(column.start), column.step), bytes: 8 };
    case 'uuid':
      return {
        type: { kind: 'STRING' },
        bytes: 36,
        make: (index) => {
          const [a, b, c, d] = [hash32(index, salt), hash32(index, salt + 1), hash32(index, salt + 2), hash32(index, salt + 3)];
          // Version and variant of a random UUID (RFC 9562).
          const middle = hexOf((b & 0xffff0fff) | 0x4000);
          const next = hexOf((c & 0x3fffffff) | 0x80000000);
          return `${hexOf(a)}-${middle.slice(0, 4)}-${middle.slice(4)}-${next.slice(0, 4)}-${next.slice(4)}${hexOf(d)}`;
        },
      };
    case 'int': {
      const span = column.max - column.min + 1;
      if (!Number.isSafeInteger(span)) return refuse(column.name, 'has more values between min and max than 2^53');
      return { type: { kind: 'LONG' }, make: (index) => column.min + Math.floor(fractionOf(index, salt) * span), bytes: 8 };
    }
    case 'float':
      return { type: { kind: 'DOUBLE' }, make: (index) => column.min + fractionOf(index, salt) * (column.max - column.min), bytes: 8 };
    case 'decimal': {
      const digits = Math.max(String(Math.abs(column.min)).length, String(Math.abs(column.max)).length) + column.scale;
      return {
        type: { kind: 'DECIMAL', precision: digits, scale: column.scale },
        make: decimalMaker(salt, column.min, column.max, column.scale),
        bytes: digits + 1,
      };
    }
    case 'bool':
      return { type: { kind: 'BOOLEAN' }, make: (index) => fractionOf(index, salt) < column.true_ratio, bytes: 5 };
    case 'text': {
      const { min_length: shortest, max_length: longest } = column;
      if (longest < shortest) return refuse(column.name, `has a max_length of ${longest}, below its min_length of ${shortest}`);
      return { type: { kind: 'STRING' }, make: textMaker(salt, shortest, longest), bytes: (shortest + longest) / 2 };
    }
    case 'timestamp': {
      const start = microsOf(column.start) ?? refuse(column.name, `has the start "${column.start}", which is no instant like 2024-01-31T12:00:00.123456Z`);
      return { type: { kind: 'UTC_DATETIME' }, make: timestampMaker(start, column.step_microseconds), bytes: 27 };
    }
    case 'choice': {
      const { values } = column;
      return {
        type: choiceType(values),
        make: (index) => values[(hash32(index, salt) >>> 0) % values.length] ?? null,
        bytes: values.reduce((sum: number, value) => sum + String(value).length, 0) / values.length,
      };
    }
  }
};

const withNulls = ({ type, make, bytes }: Maker, ratio: number, salt: number): Maker =>
  ratio === 0 ? { type, make, bytes } : { type, bytes: bytes * (1 - ratio), make: (index) => (fractionOf(index, salt) < ratio ? null : make(index)) };

/** @throws CONFIG_INVALID when a column contradicts itself or another. */
export const generatorOf = (config: DatagenConfig): Generator => {
  const { seed, row_bytes: rowBytes } = config;
  const names = config.columns.map((column) => column.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) return refuse(twice, 'is there twice');
  const makers = config.columns.map((column) => {
    const salt = saltOf(seed, column.name);
    return withNulls(makerOf(column, salt), column.null_ratio, salt ^ 0x27d4eb2f);
  });
  const columns = config.columns.map((column, index): Column => ({ name: column.name, type: makers[index]?.type ?? null, nullable: column.null_ratio > 0 }));
  let bytes = makers.reduce((sum, maker) => sum + maker.bytes, 0);
  if (rowBytes !== null && rowBytes > bytes) {
    if (names.includes(payloadColumn)) return refuse(payloadColumn, 'has the name of the column that fills rows up to row_bytes');
    const length = Math.round(rowBytes - bytes);
    names.push(payloadColumn);
    makers.push({ type: { kind: 'STRING' }, make: textMaker(saltOf(seed, payloadColumn), length, length), bytes: length });
    columns.push({ name: payloadColumn, type: { kind: 'STRING' }, nullable: false });
    bytes += length;
  }
  const makes = makers.map((maker) => maker.make);
  const key = config.columns.find((column) => column.kind === 'sequence' && column.step !== 0 && column.null_ratio === 0);
  return {
    columns,
    primaryKey: key === undefined ? [] : [key.name],
    rowBytes: Math.max(1, Math.ceil(bytes)),
    rowAt: (index) => {
      const row: Row = {};
      for (let at = 0; at < makes.length; at += 1) row[names[at] as string] = (makes[at] as Make)(index);
      return row;
    },
  };
};
