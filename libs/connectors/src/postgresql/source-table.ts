/** A table as it is read: what is selected, in which order, and how text becomes values. */
import type { Column, Row, StreamSchema } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { escapeLiteral } from 'pg';
import { decoderFor, type DecodeValue } from './copy-text.ts';
import { qualified, quoteName } from './identifiers.ts';
import type { TableColumn, TableShape } from './table-shape.ts';
import { columnTypeOf } from './types.ts';

/** An SQL expression by which rows are ordered, and where its text stands in a line. */
export interface OrderTerm {
  readonly sql: string;
  readonly type: string;
  readonly field: number;
}

export interface SourceTable {
  readonly name: string;
  readonly schema: StreamSchema;
  /** `select …, … from …`, without order or limit. */
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
  columns: shape.columns.map((column): Column => ({ name: column.name, type: columnTypeOf(column.type, column.modifier), nullable: !column.notNull })),
  primaryKey: shape.primaryKey,
});

/** For a look at some rows, in any order. */
export const previewTable = (schema: string, table: string, shape: TableShape): Pick<SourceTable, 'select' | 'columns'> => ({
  select: `select ${shape.columns.map(selectTerm).join(', ')} from ${qualified(schema, table)} as t`,
  columns: decodedColumns(shape),
});

const selectTerm = (column: TableColumn): string => (isNested(column) ? `to_jsonb(${quoteName(column.name)})` : quoteName(column.name));

const decodedColumns = (shape: TableShape): SourceTable['columns'] =>
  shape.columns.map((column) => ({ name: column.name, decode: decoderFor(columnTypeOf(column.type, column.modifier)) }));

/** @throws CONFIG_INVALID when the table cannot be read exactly once: without a key and without a cursor. */
export const sourceTable = (schema: string, table: string, shape: TableShape, cursorColumn: string | null): SourceTable => {
  const name = qualified(schema, table);
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
  const term = (column: TableColumn, field: number): OrderTerm => ({ sql: quoteName(column.name), type: column.type.sql, field });
  const key = keyNames?.map((keyName) => {
    const field = shape.columns.findIndex((column) => column.name === keyName);
    return term(shape.columns[field] as TableColumn, field);
  }) ?? [{ sql: 'md5(t::text)', type: 'text', field: shape.columns.length }];
  for (const column of [cursor, ...(keyNames ?? []).map((keyName) => shape.columns.find(({ name: other }) => other === keyName))]) {
    if (column !== undefined && isNested(column))
      throw new TributaryError('UNSUPPORTED', `Column "${column.name}" of table ${name} is ${column.type.sql}, which cannot be a key or cursor to read by.`);
  }
  const selected = shape.columns.map(selectTerm);
  if (keyNames === undefined) selected.push('md5(t::text)');
  return {
    name: table,
    schema: schemaOf(table, shape),
    select: `select ${selected.join(', ')} from ${name} as t`,
    from: `${name} as t`,
    columns: decodedColumns(shape),
    cursor: cursor === undefined ? null : { ...term(cursor, cursorIndex), nullable: !cursor.notNull, isInstant: cursor.type.name === 'timestamptz' },
    key,
    keyIsUnique: keyNames !== undefined,
  };
};

const isNested = (column: TableColumn): boolean => column.type.category === 'A' || column.type.category === 'C';

export const rowOf = (table: Pick<SourceTable, 'columns'>, fields: readonly (string | null)[]): Row => {
  const row: Row = {};
  for (let index = 0; index < table.columns.length; index++) {
    const column = table.columns[index] as SourceTable['columns'][number];
    const text = fields[index];
    row[column.name] = text === null || text === undefined ? null : column.decode(text);
  }
  return row;
};

/** `("a", "b") > ('1'::bigint, 'x'::text)` */
export const compareTerms = (terms: readonly OrderTerm[], operator: '>' | '>=' | '<=' | '=', values: readonly string[]): string =>
  `(${terms.map((term) => term.sql).join(', ')}) ${operator} (${terms.map((term, index) => `${escapeLiteral(values[index] ?? '')}::${term.type}`).join(', ')})`;
