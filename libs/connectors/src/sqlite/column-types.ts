/**
 * Declared types of columns. SQLite goes by the affinity that it finds in a type's name (https://www.sqlite.org/datatype3.html#determination_of_column_affinity);
 * the names with `_TEXT` have text affinity, so that not a digit is lost, and say what the text is when the table is read again.
 */
import type { ColumnType, Row, Value } from '@tributary/contracts/types';

export type Affinity = 'integer' | 'text' | 'blob' | 'none' | 'real' | 'numeric';

export const affinityOf = (declared: string): Affinity => {
  const type = declared.toUpperCase();
  if (type.includes('INT')) return 'integer';
  if (/CHAR|CLOB|TEXT/.test(type)) return 'text';
  if (type.includes('BLOB')) return 'blob';
  if (type === '' || type === 'ANY') return 'none';
  return /REAL|FLOA|DOUB/.test(type) ? 'real' : 'numeric';
};

export const isBooleanType = (declared: string): boolean => /^BOOL(EAN)?$/i.test(declared);

/** The SQL type of a declared column. A single key column of INTEGER is the rowid itself. */
export const sqlType = (type: ColumnType): string => {
  switch (type.kind) {
    case 'BOOLEAN':
      return 'BOOLEAN';
    case 'SHORT':
      return 'SMALLINT';
    case 'INT':
      return 'INT';
    case 'LONG':
      return 'INTEGER';
    case 'FLOAT':
      return 'FLOAT';
    case 'DOUBLE':
      return 'DOUBLE';
    case 'DECIMAL':
      return 'DECIMAL_TEXT';
    case 'NAIVE_DATE':
      return 'DATE_TEXT';
    case 'NAIVE_TIME':
      return 'TIME_TEXT';
    case 'NAIVE_DATETIME':
      return 'DATETIME_TEXT';
    case 'UTC_DATETIME':
      return 'TIMESTAMP_TEXT';
    case 'BINARY':
      return 'BLOB';
    case 'JSON':
      return 'JSON_TEXT';
    case 'XML':
      return 'XML_TEXT';
    case 'STRING':
      return 'TEXT';
  }
};

const textTypes: Readonly<Record<string, ColumnType>> = {
  DECIMAL_TEXT: { kind: 'DECIMAL', precision: null, scale: null },
  DATE_TEXT: { kind: 'NAIVE_DATE' },
  TIME_TEXT: { kind: 'NAIVE_TIME' },
  DATETIME_TEXT: { kind: 'NAIVE_DATETIME' },
  TIMESTAMP_TEXT: { kind: 'UTC_DATETIME' },
  JSON_TEXT: { kind: 'JSON' },
  JSON: { kind: 'JSON' },
  XML_TEXT: { kind: 'XML' },
};

/** What the values of a column are; null where its type promises nothing, as of DATE, which holds texts, seconds or Julian days. */
export const columnTypeOf = (declared: string): ColumnType | null => {
  const type = declared.toUpperCase().trim();
  const known = textTypes[type];
  if (known !== undefined) return known;
  if (isBooleanType(type)) return { kind: 'BOOLEAN' };
  switch (affinityOf(type)) {
    case 'integer':
      return { kind: 'LONG' };
    case 'text':
      return { kind: 'STRING' };
    case 'blob':
      return { kind: 'BINARY' };
    case 'real':
      return { kind: 'DOUBLE' };
    case 'numeric':
      return /^(DECIMAL|NUMERIC)\b/.test(type) ? { kind: 'DECIMAL', precision: null, scale: null } : null;
    case 'none':
      return null;
  }
};

/** Affinities of existing columns that can hold values of a declared kind; single values that do not fit after all are refused one by one. */
const holders: Readonly<Record<ColumnType['kind'], readonly Affinity[]>> = {
  BOOLEAN: ['integer', 'numeric', 'none', 'text'],
  SHORT: ['integer', 'numeric', 'none', 'text', 'real'],
  INT: ['integer', 'numeric', 'none', 'text', 'real'],
  LONG: ['integer', 'numeric', 'none', 'text', 'real'],
  FLOAT: ['real', 'numeric', 'none', 'text'],
  DOUBLE: ['real', 'numeric', 'none', 'text'],
  DECIMAL: ['integer', 'numeric', 'none', 'text', 'real'],
  NAIVE_DATE: ['text', 'numeric', 'none'],
  NAIVE_TIME: ['text', 'numeric', 'none'],
  NAIVE_DATETIME: ['text', 'numeric', 'none'],
  UTC_DATETIME: ['text', 'numeric', 'none'],
  BINARY: ['blob', 'none'],
  XML: ['text', 'none'],
  STRING: ['text', 'none'],
  JSON: ['text', 'none', 'numeric'],
};

export const canHold = (existing: string, { kind }: ColumnType): boolean => {
  const already = columnTypeOf(existing)?.kind;
  // Our own text types say exactly what is in them; a plain text column takes all.
  if (/_TEXT$/i.test(existing) && textTypes[existing.toUpperCase()] !== undefined)
    return already === kind || (already === 'DECIMAL' && /^(SHORT|INT|LONG)$/.test(kind)) || already === 'JSON';
  if (isBooleanType(existing)) return kind === 'BOOLEAN';
  if (kind === 'JSON' && affinityOf(existing) === 'numeric') return already === 'JSON';
  return holders[kind].includes(affinityOf(existing));
};

type Shape = 'boolean' | 'integer' | 'huge' | 'fraction' | 'text' | 'bytes' | 'json';

const shapeOf = (value: Exclude<Value, null>): Shape => {
  switch (typeof value) {
    case 'boolean':
      return 'boolean';
    case 'number':
      return Number.isSafeInteger(value) ? 'integer' : 'fraction';
    case 'bigint':
      return value >= -(2n ** 63n) && value < 2n ** 63n ? 'integer' : 'huge';
    case 'string':
      return 'text';
    default:
      return value instanceof Uint8Array ? 'bytes' : 'json';
  }
};

/** The type for all values of an undeclared column; null when there are none but nulls. NUMBER takes integers and fractions alike. */
export const inferredType = (rows: readonly Row[], column: string, isKey: boolean): string | null => {
  const shapes = new Set<Shape>();
  for (const row of rows) {
    const value = row[column];
    if (value !== null && value !== undefined) shapes.add(shapeOf(value));
  }
  const only = (...allowed: Shape[]): boolean => [...shapes].every((shape) => allowed.includes(shape));
  if (shapes.size === 0) return null;
  if (only('boolean')) return 'BOOLEAN';
  if (only('integer')) return isKey ? 'INTEGER' : 'NUMBER';
  if (only('integer', 'fraction')) return 'NUMBER';
  if (only('integer', 'fraction', 'huge')) return 'DECIMAL_TEXT';
  if (only('bytes')) return 'BLOB';
  return shapes.has('json') ? 'JSON_TEXT' : 'TEXT';
};
