/** A table as it is read: what is selected, in which order, and how bytes become values. */
import type { Column, Row, StreamSchema } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { quoteName, quoteText } from './identifiers.ts';
import type { TableColumn, TableShape } from './table-shape.ts';
import { columnTypeOf, isExactKey, isTextual, type MysqlType } from './types.ts';
import { decoderFor, selectTerm, type DecodeValue } from './values.ts';

/** An SQL expression by which rows are ordered, and where it stands among the selected ones. */
export interface OrderTerm {
  readonly sql: string;
  readonly field: number;
  /** The text that a position keeps of it. */
  readonly textOf: (bytes: Buffer) => string;
  /** That text in SQL, as a value of the column's own type. @throws POSITION_LOST when it is none. */
  readonly literal: (text: string) => string;
}

export interface SourceTable {
  readonly name: string;
  readonly schema: StreamSchema;
  /** `select …, … from …`, without condition, order or limit. */
  readonly select: string;
  readonly from: string;
  readonly columns: readonly { readonly name: string; readonly decode: DecodeValue }[];
  readonly cursor: (OrderTerm & { readonly nullable: boolean; readonly isInstant: boolean }) | null;
  /** Tells rows apart: the primary key, or the hash of the whole row where there is none. */
  readonly key: readonly OrderTerm[];
  /** False: equal rows have equal keys. */
  readonly keyIsUnique: boolean;
}

export const schemaOf = (table: string, shape: TableShape): StreamSchema => ({
  stream: table,
  columns: shape.columns.map((column): Column => ({ name: column.name, type: columnTypeOf(column.type), nullable: !column.notNull })),
  primaryKey: shape.primaryKey,
});

/** For a look at some rows, in any order. */
export const previewTable = (table: string, shape: TableShape): Pick<SourceTable, 'select' | 'columns'> => ({
  select: `select ${shape.columns.map(selected).join(', ')} from ${quoteName(table)}`,
  columns: decodedColumns(shape),
});

const selected = (column: TableColumn): string => selectTerm(quoteName(column.name), column.type);

const decodedColumns = (shape: TableShape): SourceTable['columns'] => shape.columns.map((column) => ({ name: column.name, decode: decoderFor(column.type) }));

/** @throws CONFIG_INVALID when the table cannot be read exactly once: without a key and without a cursor. */
export const sourceTable = (table: string, shape: TableShape, cursorColumn: string | null): SourceTable => {
  const name = quoteName(table);
  const notNull = new Set(shape.columns.filter((column) => column.notNull).map((column) => column.name));
  const keyNames = shape.primaryKey.length > 0 ? shape.primaryKey : shape.uniqueKeys.find((key) => key.every((column) => notNull.has(column)));
  const cursorIndex = shape.columns.findIndex((column) => column.name === cursorColumn);
  const cursor = shape.columns[cursorIndex];
  if (cursorColumn !== null && cursor === undefined) {
    throw new TributaryError(
      'CONFIG_INVALID',
      `cursor_column: table ${name} has no column "${cursorColumn}". It has: ${shape.columns.map((column) => column.name).join(', ')}.`,
    );
  }
  if (keyNames === undefined && cursor === undefined) {
    throw new TributaryError(
      'CONFIG_INVALID',
      `Table ${name} has neither a primary key nor a unique key without nulls, so reading could not go on exactly where it stopped. Add a key, or name a cursor_column.`,
    );
  }
  const term = (column: TableColumn, field: number): OrderTerm => {
    const literal = literalOf(column.type);
    if (literal === null)
      throw new TributaryError('UNSUPPORTED', `Column "${column.name}" of table ${name} is ${column.type.sql}, which cannot be a key or cursor to read by.`);
    return { sql: quoteName(column.name), field, textOf: isTextual(column.type) ? utf8 : isBinary(column.type) ? hex : latin1, literal };
  };
  const key = keyNames?.map((keyName) => {
    const field = shape.columns.findIndex((column) => column.name === keyName);
    return term(shape.columns[field] as TableColumn, field);
  }) ?? [rowHash(shape)];
  // Texts that the server takes for one would not come in one order; as a key, no two of them are in the table.
  if (cursor !== undefined && isTextual(cursor.type) && !isExactKey(cursor.type)) {
    throw new TributaryError(
      'UNSUPPORTED',
      `cursor_column: "${cursor.name}" of table ${name} is a text of collation ${cursor.type.collation}, in which different texts count as equal. Name a time or a number.`,
    );
  }
  const terms = shape.columns.map(selected);
  if (keyNames === undefined) terms.push(rowHash(shape).sql);
  return {
    name: table,
    schema: schemaOf(table, shape),
    select: `select ${terms.join(', ')} from ${name}`,
    from: name,
    columns: decodedColumns(shape),
    cursor: cursor === undefined ? null : { ...term(cursor, cursorIndex), nullable: !cursor.notNull, isInstant: cursor.type.name === 'timestamp' },
    key,
    keyIsUnique: keyNames !== undefined,
  };
};

/** Of the bytes of all columns; a comma separates, since hexadecimal digits hold none. */
const rowHash = (shape: TableShape): OrderTerm => ({
  sql: `md5(concat_ws(',', ${shape.columns.map((column) => `ifnull(hex(cast(${selected(column)} as binary)), '-')`).join(', ')}))`,
  field: shape.columns.length,
  textOf: latin1,
  literal: quoteText,
});

const latin1 = (bytes: Buffer): string => bytes.toString('latin1');
const utf8 = (bytes: Buffer): string => bytes.toString('utf8');
const hex = (bytes: Buffer): string => bytes.toString('hex');

const isBinary = (type: MysqlType): boolean => /^(binary|varbinary|(tiny|medium|long)?blob)$/.test(type.name);

const numbers = ['boolean', 'tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'year', 'double'];
const times = ['date', 'time', 'datetime', 'timestamp'];

/** I5: a number in quotes would be compared as a double, and lose digits. null: values of this type have no order to read by. */
const literalOf = ({ name }: MysqlType): OrderTerm['literal'] | null => {
  const checked =
    (pattern: RegExp, write: (text: string) => string) =>
    (text: string): string => {
      if (!pattern.test(text)) throw new TributaryError('POSITION_LOST', `The checkpoint holds "${text.slice(0, 60)}", which is no value of type ${name}.`);
      return write(text);
    };
  if (name === 'double') return checked(/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i, (text) => (/e/i.test(text) ? text : `${text}e0`));
  if (numbers.includes(name)) return checked(/^-?\d+(\.\d+)?$/, (text) => text);
  if (times.includes(name)) return checked(/^[-\d: .]+$/, quoteText);
  if (name.endsWith('blob') || name.endsWith('binary')) return checked(/^([0-9a-f]{2})*$/, (text) => `x'${text}'`);
  return ['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext', 'uuid'].includes(name) ? quoteText : null;
};

export const rowOf = (table: Pick<SourceTable, 'columns'>, fields: readonly (Buffer | null)[]): Row => {
  const row: Row = {};
  for (let index = 0; index < table.columns.length; index++) {
    const column = table.columns[index] as SourceTable['columns'][number];
    const bytes = fields[index];
    row[column.name] = bytes === null || bytes === undefined ? null : column.decode(bytes);
  }
  return row;
};

/**
 * Rows before or behind the one with these values: `a >= 1 and (a > 1 or (a = 1 and (b > 2)))`. The first part is what an index is read by;
 * `(a, b) > (1, 2)` would read the whole index. The terms are never null.
 */
export const compareTerms = (terms: readonly OrderTerm[], operator: '>' | '<' | '>=' | '<=', values: readonly string[]): string => {
  const strict = operator.charAt(0);
  const from = (index: number): string => {
    const term = terms[index] as OrderTerm;
    const literal = term.literal(values[index] ?? '');
    if (index === terms.length - 1) return `${term.sql} ${operator} ${literal}`;
    return `${term.sql} ${strict}= ${literal} and (${term.sql} ${strict} ${literal} or (${from(index + 1)}))`;
  };
  return `(${from(0)})`;
};
