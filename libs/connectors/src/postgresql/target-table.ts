/** The table that is written: made when missing, held against what the mapper declares, and grown by columns that the rows bring. */
import type { Column, Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { nameProblem, qualified, quoteName, quoteNames } from './identifiers.ts';
import { hasUniqueKey, inferredMark, readShape, type TableColumn, type TableShape } from './table-shape.ts';
import { changeTables } from './transaction.ts';
import { accepts, inferType, sqlType, widerType } from './types.ts';

export interface WantedTable {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly Column[] | null;
  readonly primaryKey: readonly string[];
}

interface NewColumn {
  readonly name: string;
  readonly sql: string;
  readonly nullable: boolean;
  readonly isInferred: boolean;
}

/** Makes or checks the table; null while the key's types are not known, which the first rows will tell. */
export const prepareTable = async (session: Session, wanted: WantedTable): Promise<TableShape | null> => {
  for (const name of [wanted.table, ...(wanted.columns ?? []).map((column) => column.name)]) {
    const problem = nameProblem(name);
    if (problem !== null) throw new TributaryError('SCHEMA_CONFLICT', `"${name}" cannot name a table or column in PostgreSQL: ${problem}.`);
  }
  const declared = (wanted.columns ?? []).flatMap(({ name, type, nullable }) =>
    type === null ? [] : [{ name, sql: sqlType(type), nullable, isInferred: false }],
  );
  let shape = await readShape(session, wanted.schema, wanted.table);
  if (shape === null) {
    const keyIsKnown = wanted.primaryKey.every((key) => declared.some((column) => column.name === key));
    return keyIsKnown ? createTable(session, wanted, declared) : null;
  }
  checkColumns(wanted, shape);
  const present = new Set(shape.columns.map((column) => column.name));
  const missing = declared.filter((column) => !present.has(column.name));
  if (missing.length > 0) shape = await addColumns(session, wanted, missing);
  return ensureKey(session, wanted, shape);
};

/** The table with every column that these rows have and it lacks; null when it is missing and the rows do not tell the key's types either. */
export const growTable = async (
  session: Session,
  wanted: WantedTable,
  shape: TableShape | null,
  names: readonly string[],
  rows: readonly Row[],
): Promise<TableShape | null> => {
  const declared = new Map((wanted.columns ?? []).map((column) => [column.name, column]));
  const inferred = names.flatMap((name): NewColumn[] => {
    const column = declared.get(name);
    const sql = column?.type == null ? inferType(rows.values().map((row) => row[name])) : sqlType(column.type);
    return sql === null ? [] : [{ name, sql, nullable: column?.nullable ?? true, isInferred: column?.type == null }];
  });
  if (shape !== null) return inferred.length === 0 ? shape : addColumns(session, wanted, inferred);
  if (!wanted.primaryKey.every((key) => inferred.some((column) => column.name === key))) return null;
  return createTable(session, wanted, inferred);
};

const createTable = (session: Session, wanted: WantedTable, columns: readonly NewColumn[]): Promise<TableShape> => {
  const name = qualified(wanted.schema, wanted.table);
  return changeTables(session, name, async () => {
    const key = wanted.primaryKey;
    const lines = columns.map((column) => `${quoteName(column.name)} ${column.sql}${column.nullable && !key.includes(column.name) ? '' : ' not null'}`);
    if (key.length > 0) lines.push(`primary key (${quoteNames(key)})`);
    const there = await readShape(session, wanted.schema, wanted.table);
    if (there === null) {
      await session.query(`create table ${name} (${lines.join(', ')})`);
      await markInferred(session, name, columns);
    }
    return existing(session, wanted);
  });
};

const addColumns = (session: Session, wanted: WantedTable, columns: readonly NewColumn[]): Promise<TableShape> => {
  const name = qualified(wanted.schema, wanted.table);
  return changeTables(session, name, async () => {
    const before = await existing(session, wanted);
    const fresh = columns.filter((column) => !before.columns.some((there) => there.name === column.name));
    if (fresh.length === 0) return before;
    // Nullable in any case: the rows that are there already have no value.
    await session.query(`alter table ${name} ${fresh.map((column) => `add column ${quoteName(column.name)} ${column.sql}`).join(', ')}`);
    await markInferred(session, name, fresh);
    return existing(session, wanted);
  });
};

const markInferred = async (session: Session, name: string, columns: readonly NewColumn[]): Promise<void> => {
  for (const column of columns) if (column.isInferred) await session.query(`comment on column ${name}.${quoteName(column.name)} is '${inferredMark}'`);
};

/** Gives columns whose type was chosen from values a wider one where these rows need it: numbers with a fraction after whole ones, text after numbers. */
export const widenTable = async (session: Session, wanted: WantedTable, shape: TableShape, rows: readonly Row[]): Promise<TableShape> => {
  const name = qualified(wanted.schema, wanted.table);
  const changesOf = (current: TableShape): string[] =>
    current.columns.flatMap((column) => {
      const wider = column.isInferred
        ? widerType(
            column.type,
            rows.values().map((row) => row[column.name]),
          )
        : null;
      return wider === null ? [] : [`alter column ${quoteName(column.name)} type ${wider.sql} using ${wider.using(quoteName(column.name))}`];
    });
  if (changesOf(shape).length === 0) return shape;
  return changeTables(session, name, async () => {
    const changes = changesOf(await existing(session, wanted));
    if (changes.length > 0) await session.query(`alter table ${name} ${changes.join(', ')}`);
    return existing(session, wanted);
  });
};

const existing = async (session: Session, wanted: WantedTable): Promise<TableShape> => {
  const shape = await readShape(session, wanted.schema, wanted.table);
  if (shape === null) throw new TributaryError('STREAM_NOT_FOUND', `Table ${qualified(wanted.schema, wanted.table)} was dropped while it was written.`);
  return shape;
};

const checkColumns = (wanted: WantedTable, shape: TableShape): void => {
  const byName = new Map(shape.columns.map((column) => [column.name, column]));
  const where = `table ${qualified(wanted.schema, wanted.table)}`;
  for (const { name, type } of wanted.columns ?? []) {
    const column = byName.get(name);
    if (column === undefined) continue;
    refuseGenerated(column, where);
    if (type !== null && !accepts(column.type, type)) {
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `Column "${name}" of ${where} is ${column.type.sql}, but the mapper declares ${type.kind} (${sqlType(type)}). Change the cast of the mapper, or run: ALTER TABLE ${qualified(wanted.schema, wanted.table)} ALTER COLUMN ${quoteName(name)} TYPE ${sqlType(type)} USING ${quoteName(name)}::${sqlType(type)}`,
        { details: { column: name, actual: column.type.sql, declared: type.kind } },
      );
    }
  }
  const unknown = shape.columns.filter(
    (column) =>
      column.notNull && !column.hasDefault && !column.generated && wanted.columns !== null && !wanted.columns.some((declared) => declared.name === column.name),
  );
  if (unknown.length > 0 && wanted.columns !== null) {
    throw new TributaryError(
      'SCHEMA_CONFLICT',
      `Column "${unknown[0]?.name}" of ${where} is NOT NULL without a default, but the mapper does not fill it. Add it to the mapper, give it a default, or make it nullable.`,
    );
  }
};

export const refuseGenerated = (column: TableColumn, where: string): void => {
  if (column.generated)
    throw new TributaryError(
      'SCHEMA_CONFLICT',
      `Column "${column.name}" of ${where} is generated by the server and cannot be written. Leave it out of the mapper.`,
    );
};

const ensureKey = async (session: Session, wanted: WantedTable, shape: TableShape): Promise<TableShape> => {
  const key = wanted.primaryKey;
  if (key.length === 0 || hasUniqueKey(shape, key)) return shape;
  const name = qualified(wanted.schema, wanted.table);
  const statement = `ALTER TABLE ${name} ADD ${shape.primaryKey.length === 0 ? 'PRIMARY KEY' : 'UNIQUE'} (${quoteNames(key)})`;
  const columns = new Set(shape.columns.map((column) => column.name));
  const unusable = new TributaryError(
    'SCHEMA_CONFLICT',
    `Table ${name} has no unique constraint on (${key.join(', ')}), which the mapper declares as primary key. Run: ${statement}`,
  );
  if (!key.every((column) => columns.has(column))) throw unusable;
  return changeTables(session, name, async () => {
    const [filled] = await session.query(`select 1 from ${name} limit 1`);
    if (filled !== undefined) throw unusable;
    await session.query(statement);
    return existing(session, wanted);
  });
};
