/** The server's types ↔ ours: https://dev.mysql.com/doc/refman/8.4/en/data-types.html */
import type { ColumnKind, ColumnType, Value } from '@tributary/contracts/types';

/** A column as the server describes it. */
export interface MysqlType {
  /** information_schema's data_type, but `boolean` for tinyint(1) and `json` for what MariaDB keeps as text that is checked. */
  readonly name: string;
  /** As SQL writes it: `decimal(12,2) unsigned`. */
  readonly sql: string;
  readonly unsigned: boolean;
  readonly digits: number | null;
  readonly scale: number | null;
  /** Digits of a second's fraction. */
  readonly fraction: number | null;
  readonly collation: string | null;
  /** Kept in MySQL's binary form, where numbers are 64-bit integers and doubles. */
  readonly isNativeJson: boolean;
}

/** The limits of both servers. */
const mostDigits = 65;
const mostScale = 30;
export const widestDecimal = `decimal(${mostDigits},${mostScale})`;

/** The type of a column that Tributary makes. A text in a key needs a length: see `keyType`. */
export const sqlType = (type: ColumnType): string => {
  switch (type.kind) {
    case 'BOOLEAN':
      return 'tinyint(1)';
    case 'SHORT':
      return 'smallint';
    case 'INT':
      return 'int';
    case 'LONG':
      return 'bigint';
    case 'FLOAT':
      return 'float';
    case 'DOUBLE':
      return 'double';
    case 'DECIMAL': {
      const { precision, scale } = type;
      if (precision === null || scale === null || precision < 1 || scale < 0) return widestDecimal;
      // Beyond the server's limits only a text keeps every digit.
      return precision > mostDigits || scale > mostScale || scale > precision ? 'longtext' : `decimal(${precision},${scale})`;
    }
    case 'NAIVE_DATE':
      return 'date';
    case 'NAIVE_TIME':
      return 'time(6)';
    case 'NAIVE_DATETIME':
    case 'UTC_DATETIME':
      return 'datetime(6)';
    case 'BINARY':
      return 'longblob';
    case 'XML':
    case 'STRING':
      return 'longtext';
    case 'JSON':
      return 'json';
  }
};

/** An index of InnoDB holds 3072 bytes, a character has up to 4. A longer key is refused row by row. */
const keyBytes = 3072;

/** The type of a column in a key of so many columns, of the type that it would have elsewhere. */
export const keyType = (sql: string, keyColumns: number, collation: string): string => {
  const share = Math.floor((keyBytes - 64) / keyColumns);
  if (sql === 'longtext' || sql === 'json') return `varchar(${Math.floor(share / 4)}) character set utf8mb4 collate ${collation}`;
  return sql === 'longblob' ? `varbinary(${share})` : sql;
};

const small = ['tinyint', 'smallint'];
const integers = ['mediumint', 'int', 'bigint', 'decimal'];
const texts = ['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext'];
const doubles = ['double', 'decimal'];

/** Existing column types that values of each kind may go into. A value that a column cannot hold as it is, is refused row by row. */
const accepted: Readonly<Record<ColumnKind, readonly string[]>> = {
  BOOLEAN: ['boolean', ...small, ...integers, 'bit', ...texts],
  SHORT: [...small, ...integers, 'year', 'float', 'double', ...texts],
  INT: [...small, ...integers, 'year', 'double', ...texts],
  LONG: [...small, ...integers, 'bit', ...texts],
  FLOAT: ['float', ...doubles, ...texts],
  DOUBLE: [...doubles, ...texts],
  DECIMAL: ['decimal', ...texts],
  NAIVE_DATE: ['date', 'datetime', 'timestamp', ...texts],
  NAIVE_TIME: ['time', ...texts],
  NAIVE_DATETIME: ['datetime', 'timestamp', ...texts],
  UTC_DATETIME: ['timestamp', 'datetime', ...texts],
  BINARY: ['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob'],
  XML: texts,
  STRING: [...texts, 'enum', 'set', 'uuid', 'inet4', 'inet6', 'json'],
  JSON: ['json', ...texts],
};

/** A float or double of a fixed number of digits rounds what it is given. */
const rounds = (column: MysqlType): boolean => /^(float|double)\(\d+,\d+\)/.test(column.sql);

export const accepts = (column: MysqlType, declared: ColumnType): boolean => accepted[declared.kind].includes(column.name) && !rounds(column);

/** What a source column is to us. */
export const columnTypeOf = (type: MysqlType): ColumnType => {
  switch (type.name) {
    case 'boolean':
      return { kind: 'BOOLEAN' };
    case 'tinyint':
      return { kind: 'SHORT' };
    case 'smallint':
      return { kind: type.unsigned ? 'INT' : 'SHORT' };
    case 'mediumint':
    case 'year':
      return { kind: 'INT' };
    case 'int':
      return { kind: type.unsigned ? 'LONG' : 'INT' };
    case 'bigint':
      return type.unsigned ? { kind: 'DECIMAL', precision: 20, scale: 0 } : { kind: 'LONG' };
    case 'bit':
      return type.digits === 1 ? { kind: 'BOOLEAN' } : { kind: 'DECIMAL', precision: 20, scale: 0 };
    case 'decimal':
      return { kind: 'DECIMAL', precision: type.digits, scale: type.scale };
    case 'float':
      return { kind: 'FLOAT' };
    case 'double':
      return { kind: 'DOUBLE' };
    case 'date':
      return { kind: 'NAIVE_DATE' };
    case 'time':
      return { kind: 'NAIVE_TIME' };
    case 'datetime':
      return { kind: 'NAIVE_DATETIME' };
    case 'timestamp':
      return { kind: 'UTC_DATETIME' };
    case 'json':
      return { kind: 'JSON' };
    default:
      return { kind: isTextual(type) ? 'STRING' : 'BINARY' };
  }
};

export const isTextual = (type: MysqlType): boolean => [...texts, 'enum', 'set', 'uuid', 'inet4', 'inet6'].includes(type.name);

/** Are two different texts two different keys? Of other columns always. */
export const isExactKey = (type: MysqlType): boolean => type.collation === null || /_nopad_bin$|_0900_bin$/.test(type.collation);

/** What values that nobody declared look like. `int64` is an integer that no double holds; the others are SQL types. */
type Inferred = 'tinyint(1)' | 'bigint' | 'int64' | 'double' | typeof widestDecimal | 'longtext' | 'longblob' | 'json';

const longest = 9_223_372_036_854_775_807n;

/** The type for a new column that nobody declared, from the values that came: the narrowest that holds them all; null when all are null. */
export const inferType = (values: Iterable<Value | undefined>): string | null => {
  const found = lookOf(values, null);
  return found === 'int64' ? 'bigint' : found;
};

/** The type that a column of our own making must get so that it also holds these values; null when it holds them as it is, or none can be given. */
export const widerType = (column: MysqlType, values: Iterable<Value | undefined>): string | null => {
  const now = looks[column.name];
  if (now === undefined) return null;
  const found = lookOf(values, now);
  return found === now ? null : found;
};

/**
 * By data_type. Text and JSON hold everything; what the column holds already may be beyond a double, so it counts as int64.
 * Booleans and bytes are not there: as a text they would no longer be what they were.
 */
const looks: Readonly<Record<string, Inferred>> = { bigint: 'int64', double: 'double', decimal: widestDecimal };

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
      return 'tinyint(1)';
    case 'number':
      return Number.isSafeInteger(value) ? 'bigint' : 'double';
    case 'bigint':
      return value <= longest && value >= -longest - 1n ? 'int64' : widestDecimal;
    case 'string':
      return 'longtext';
    default:
      return value instanceof Uint8Array ? 'longblob' : 'json';
  }
};

const whole: readonly Inferred[] = ['bigint', 'int64'];
const numeric: readonly Inferred[] = [...whole, 'double', widestDecimal];

const wider = (one: Inferred, other: Inferred): Inferred => {
  const both = (kinds: readonly Inferred[]): boolean => kinds.includes(one) && kinds.includes(other);
  const either = (kind: Inferred): boolean => one === kind || other === kind;
  if (both(whole)) return 'int64';
  if (both(numeric)) return either(widestDecimal) || either('int64') ? widestDecimal : 'double';
  // Objects beside plain values: JSON holds both as they are. Bytes have no place in it.
  return either('json') && !either('longblob') ? 'json' : 'longtext';
};
