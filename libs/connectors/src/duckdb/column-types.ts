/** Types of columns: from the declared ones, from values where nothing is declared, and whether a table's own type agrees. */
import type { ColumnType, Row, Value } from '@tributary/contracts/types';

/** The SQL type of a declared column. DuckDB's decimals end at 38 digits: beyond that, and without a precision, only text is exact. */
export const sqlType = (type: ColumnType): string => {
  switch (type.kind) {
    case 'BOOLEAN':
      return 'BOOLEAN';
    case 'SHORT':
      return 'SMALLINT';
    case 'INT':
      return 'INTEGER';
    case 'LONG':
      return 'BIGINT';
    case 'FLOAT':
      return 'FLOAT';
    case 'DOUBLE':
      return 'DOUBLE';
    case 'DECIMAL': {
      const { precision, scale } = type;
      return precision === null || precision > 38 || precision < 1 || (scale ?? 0) < 0 || (scale ?? 0) > precision
        ? 'VARCHAR'
        : `DECIMAL(${precision},${scale ?? 0})`;
    }
    case 'NAIVE_DATE':
      return 'DATE';
    case 'NAIVE_TIME':
      return 'TIME';
    case 'NAIVE_DATETIME':
      return 'TIMESTAMP';
    case 'UTC_DATETIME':
      return 'TIMESTAMPTZ';
    case 'BINARY':
      return 'BLOB';
    case 'JSON':
      return 'JSON';
    case 'XML':
    case 'STRING':
      return 'VARCHAR';
  }
};

const integers = /^U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)$/;
const numbers = /^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(.*\))$/;

/** Types of existing columns that can hold values of a declared kind; single values that do not fit after all are refused one by one. */
const holders: Readonly<Record<ColumnType['kind'], RegExp>> = {
  BOOLEAN: /^(BOOLEAN|VARCHAR|JSON)$/,
  SHORT: new RegExp(`${numbers.source}|^(VARCHAR|JSON)$`),
  INT: new RegExp(`${numbers.source}|^(VARCHAR|JSON)$`),
  LONG: new RegExp(`${numbers.source}|^(VARCHAR|JSON)$`),
  FLOAT: /^(FLOAT|DOUBLE|DECIMAL\(.*\)|VARCHAR|JSON)$/,
  DOUBLE: /^(FLOAT|DOUBLE|DECIMAL\(.*\)|VARCHAR|JSON)$/,
  DECIMAL: new RegExp(`${numbers.source}|^VARCHAR$`),
  NAIVE_DATE: /^(DATE|TIMESTAMP|TIMESTAMP_NS|VARCHAR)$/,
  NAIVE_TIME: /^(TIME|VARCHAR)$/,
  NAIVE_DATETIME: /^(TIMESTAMP|TIMESTAMP_NS|VARCHAR)$/,
  UTC_DATETIME: /^(TIMESTAMP WITH TIME ZONE|VARCHAR)$/,
  BINARY: /^BLOB$/,
  XML: /^VARCHAR$/,
  STRING: /^(VARCHAR|UUID|JSON)$/,
  JSON: /^(JSON|VARCHAR)$/,
};

export const canHold = (existing: string, declared: ColumnType): boolean => holders[declared.kind].test(existing);

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

/** The type that holds all values of an undeclared column; null when there are none but nulls. */
export const inferredType = (rows: readonly Row[], column: string): string | null => {
  const shapes = new Set<Shape>();
  let beyondDouble = false;
  for (const row of rows) {
    const value = row[column];
    if (value === null || value === undefined) continue;
    shapes.add(shapeOf(value));
    beyondDouble ||= typeof value === 'bigint';
  }
  const only = (...allowed: Shape[]): boolean => [...shapes].every((shape) => allowed.includes(shape));
  if (shapes.size === 0) return null;
  if (only('boolean')) return 'BOOLEAN';
  if (only('integer')) return 'BIGINT';
  if (only('integer', 'huge')) return 'HUGEINT';
  if (only('integer', 'fraction')) return beyondDouble ? 'VARCHAR' : 'DOUBLE';
  if (only('bytes')) return 'BLOB';
  if (only('json')) return 'JSON';
  return shapes.has('json') ? 'JSON' : 'VARCHAR';
};

export const isIntegerType = (type: string): boolean => integers.test(type);
