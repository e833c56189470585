/** PostgreSQL's types ↔ ours. Names are those of pg_type.typname: https://www.postgresql.org/docs/current/datatype.html */
import type { ColumnKind, ColumnType, Value } from '@tributary/contracts/types';

/** A column as the catalogue knows it; of a domain, the type below it. */
export interface PgType {
  /** `int8`, `numeric`, `_text` for text[]. */
  readonly name: string;
  /** pg_type.typcategory: `A` array, `E` enum, `S` text… */
  readonly category: string;
  /** As SQL writes it: `numeric(12,2)`. */
  readonly sql: string;
}

/** The type of a column that Tributary makes. */
export const sqlType = (type: ColumnType): string => {
  switch (type.kind) {
    case 'BOOLEAN':
      return 'boolean';
    case 'SHORT':
      return 'smallint';
    case 'INT':
      return 'integer';
    case 'LONG':
      return 'bigint';
    case 'FLOAT':
      return 'real';
    case 'DOUBLE':
      return 'double precision';
    case 'DECIMAL': {
      const { precision, scale } = type;
      // The server's limits; beyond them only a numeric without limits keeps every digit.
      if (precision === null || precision < 1 || precision > 1000 || (scale ?? 0) < 0 || (scale ?? 0) > precision) return 'numeric';
      return scale === null ? 'numeric' : `numeric(${precision},${scale})`;
    }
    case 'NAIVE_DATE':
      return 'date';
    case 'NAIVE_TIME':
      return 'time';
    case 'NAIVE_DATETIME':
      return 'timestamp';
    case 'UTC_DATETIME':
      return 'timestamptz';
    case 'BINARY':
      return 'bytea';
    case 'XML':
      return 'xml';
    case 'STRING':
      return 'text';
    case 'JSON':
      return 'jsonb';
  }
};

const integers = ['int2', 'int4', 'int8', 'numeric', 'float4', 'float8'];
const texts = ['text', 'varchar', 'bpchar', 'citext', 'name'];

/** Existing column types that values of each kind may go into. A value out of the column's range is refused row by row. */
const accepted: Readonly<Record<ColumnKind, readonly string[]>> = {
  BOOLEAN: ['bool', ...texts],
  SHORT: [...integers, ...texts],
  INT: [...integers, ...texts],
  LONG: ['int2', 'int4', 'int8', 'numeric', 'oid', ...texts],
  FLOAT: ['float4', 'float8', 'numeric', ...texts],
  DOUBLE: ['float8', 'float4', 'numeric', ...texts],
  DECIMAL: ['numeric', 'float8', ...texts],
  NAIVE_DATE: ['date', 'timestamp', 'timestamptz', ...texts],
  NAIVE_TIME: ['time', ...texts],
  NAIVE_DATETIME: ['timestamp', 'timestamptz', ...texts],
  UTC_DATETIME: ['timestamptz', 'timestamp', ...texts],
  BINARY: ['bytea'],
  XML: ['xml', ...texts],
  STRING: [...texts, 'uuid', 'inet', 'cidr', 'macaddr', 'macaddr8', 'xml', 'interval', 'ltree', 'tsvector', 'bit', 'varbit'],
  JSON: ['jsonb', 'json', ...texts],
};

export const accepts = (column: PgType, declared: ColumnType): boolean =>
  accepted[declared.kind].includes(column.name) ||
  (declared.kind === 'STRING' && column.category === 'E') ||
  (declared.kind === 'JSON' && column.category === 'A');

/** What a source column is to us. `modifier` is pg_attribute.atttypmod, which holds a numeric's precision and scale. */
export const columnTypeOf = (type: PgType, modifier: number): ColumnType => {
  switch (type.name) {
    case 'bool':
      return { kind: 'BOOLEAN' };
    case 'int2':
      return { kind: 'SHORT' };
    case 'int4':
      return { kind: 'INT' };
    case 'int8':
    case 'oid':
      return { kind: 'LONG' };
    case 'float4':
      return { kind: 'FLOAT' };
    case 'float8':
      return { kind: 'DOUBLE' };
    case 'numeric': {
      // numeric_typmod_precision and _scale of src/backend/utils/adt/numeric.c; the scale is an 11-bit signed number.
      if (modifier < 4) return { kind: 'DECIMAL', precision: null, scale: null };
      const scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
      return { kind: 'DECIMAL', precision: ((modifier - 4) >> 16) & 0xffff, scale };
    }
    case 'date':
      return { kind: 'NAIVE_DATE' };
    case 'time':
      return { kind: 'NAIVE_TIME' };
    case 'timestamp':
      return { kind: 'NAIVE_DATETIME' };
    case 'timestamptz':
      return { kind: 'UTC_DATETIME' };
    case 'bytea':
      return { kind: 'BINARY' };
    case 'xml':
      return { kind: 'XML' };
    case 'json':
    case 'jsonb':
      return { kind: 'JSON' };
    default:
      return type.category === 'A' || type.category === 'C' ? { kind: 'JSON' } : { kind: 'STRING' };
  }
};

/** What values that nobody declared look like. `int64` is an integer that no double holds; the others are SQL types. */
type Inferred = 'boolean' | 'bigint' | 'int64' | 'double precision' | 'numeric' | 'text' | 'bytea' | 'jsonb';

const longest = 9_223_372_036_854_775_807n;

/** The type for a new column that nobody declared, from the values that came: the narrowest that holds them all; null when all are null. */
export const inferType = (values: Iterable<Value | undefined>): string | null => {
  const found = lookOf(values, null);
  return found === 'int64' ? 'bigint' : found;
};

/** The type that a column of our own making must get so that it also holds these values, and how its values become it; null when it holds them as it is. */
export const widerType = (column: PgType, values: Iterable<Value | undefined>): { readonly sql: string; readonly using: (name: string) => string } | null => {
  const now = looks[column.name];
  if (now === undefined) return null;
  const found = lookOf(values, now);
  if (found === now || found === null) return null;
  if (found === 'jsonb') return { sql: found, using: (name) => `to_jsonb(${name})` };
  return { sql: found, using: (name) => `${name}::${found}` };
};

/** By pg_type.typname. Text and jsonb hold everything; what the column holds already may be beyond a double, so it counts as int64. */
const looks: Readonly<Record<string, Inferred>> = { bool: 'boolean', int8: 'int64', float8: 'double precision', numeric: 'numeric', bytea: 'bytea' };

const lookOf = (values: Iterable<Value | undefined>, start: Inferred | null): Inferred | null => {
  let found = start;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    const look = lookOfValue(value);
    if (look !== found) found = found === null ? look : wider(found, look);
  }
  return found;
};

const lookOfValue = (value: Value): Inferred => {
  switch (typeof value) {
    case 'boolean':
      return 'boolean';
    case 'number':
      return Number.isSafeInteger(value) ? 'bigint' : 'double precision';
    case 'bigint':
      return value <= longest && value >= -longest - 1n ? 'int64' : 'numeric';
    case 'string':
      return 'text';
    default:
      return value instanceof Uint8Array ? 'bytea' : 'jsonb';
  }
};

const integer: readonly Inferred[] = ['bigint', 'int64'];
const numeric: readonly Inferred[] = [...integer, 'double precision', 'numeric'];

const wider = (one: Inferred, other: Inferred): Inferred => {
  const both = (kinds: readonly Inferred[]): boolean => kinds.includes(one) && kinds.includes(other);
  const either = (kind: Inferred): boolean => one === kind || other === kind;
  if (both(integer)) return 'int64';
  if (both(numeric)) return either('numeric') || either('int64') ? 'numeric' : 'double precision';
  // Objects beside plain values: jsonb holds both as they are. Bytes have no place in it.
  return either('jsonb') && !either('bytea') ? 'jsonb' : 'text';
};
