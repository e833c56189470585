/** The table that is written: made when missing, held against what the mapper declares, and grown by columns that the rows bring. */
import type { Column, Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { nameProblem, quoteName, quoteNames, quoteText, sameName } from './identifiers.ts';
import { isDataError } from './server-errors.ts';
import { hasUniqueKey, inferredMark, readShape, requireTransactions, type TableColumn, type TableShape } from './table-shape.ts';
import { changeTable, changeTables } from './transaction.ts';
import { accepts, inferType, keyType, sqlType, widerType } from './types.ts';

export interface WantedTable {
  readonly database: string;
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
  const names = (wanted.columns ?? []).map((column) => column.name);
  for (const name of [wanted.table, ...names]) {
    const problem = nameProblem(name);
    if (problem !== null) throw new TributaryError('SCHEMA_CONFLICT', `"${name}" cannot name a table or column in MySQL: ${problem}.`);
  }
  let shape = await readShape(session, wanted.table);
  for (const name of names) {
    const other = sameName(name, [...names, ...(shape?.columns ?? []).map((column) => column.name)]);
    if (other !== null) {
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `"${name}" and "${other}" are one column in MySQL, which does not tell upper from lower case. Rename one in the mapper.`,
      );
    }
  }
  const declared = (wanted.columns ?? []).flatMap(({ name, type, nullable }) =>
    type === null ? [] : [{ name, sql: sqlType(type), nullable, isInferred: false }],
  );
  if (shape === null) {
    const keyIsKnown = wanted.primaryKey.every((key) => declared.some((column) => column.name === key));
    return keyIsKnown && declared.length > 0 ? createTable(session, wanted, declared) : null;
  }
  requireTransactions(wanted.table, shape.engine);
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
  if (inferred.length === 0) return shape;
  if (shape !== null) return addColumns(session, wanted, inferred);
  if (!wanted.primaryKey.every((key) => inferred.some((column) => column.name === key))) return null;
  return createTable(session, wanted, inferred);
};

/** Texts of our own making tell any two apart, and hold every character. */
const definition = (session: Session, { name, sql, isInferred }: NewColumn, more: string): string => {
  const characters = sql === 'longtext' ? ` character set utf8mb4 collate ${session.server.exactCollation}` : '';
  return `${quoteName(name)} ${sql}${characters}${more}${isInferred ? ` comment ${quoteText(inferredMark)}` : ''}`;
};

const createTable = (session: Session, wanted: WantedTable, columns: readonly NewColumn[]): Promise<TableShape> =>
  changeTables(session, wanted.database, wanted.table, async () => {
    const key = wanted.primaryKey;
    const lines = columns.map((column) =>
      key.includes(column.name)
        ? definition(session, { ...column, sql: keyType(column.sql, key.length, session.server.exactCollation) }, ' not null')
        : definition(session, column, column.nullable ? ' null' : ' not null'),
    );
    if (key.length > 0) lines.push(`primary key (${quoteNames(key)})`);
    if ((await readShape(session, wanted.table)) === null) {
      await changeTable(session, `create table ${quoteName(wanted.table)} (${lines.join(', ')}) engine = InnoDB row_format = dynamic character set utf8mb4`);
    }
    return existing(session, wanted);
  });

const addColumns = (session: Session, wanted: WantedTable, columns: readonly NewColumn[]): Promise<TableShape> =>
  changeTables(session, wanted.database, wanted.table, async () => {
    const before = await existing(session, wanted);
    const fresh = columns.filter((column) => !before.columns.some((there) => there.name === column.name));
    if (fresh.length === 0) return before;
    // Nullable in any case: the rows that are there already have no value.
    await changeTable(
      session,
      `alter table ${quoteName(wanted.table)} ${fresh.map((column) => `add column ${definition(session, column, ' null')}`).join(', ')}`,
    );
    return existing(session, wanted);
  });

/** Gives columns whose type was chosen from values a wider one where these rows need it: numbers with a fraction after whole ones, text after numbers. */
export const widenTable = async (session: Session, wanted: WantedTable, shape: TableShape, rows: readonly Row[]): Promise<TableShape> => {
  const changesOf = (current: TableShape): string[] =>
    current.columns.flatMap((column) => {
      if (!column.isInferred || wanted.primaryKey.includes(column.name)) return [];
      const wider = widerType(
        column.type,
        rows.values().map((row) => row[column.name]),
      );
      return wider === null ? [] : [`modify column ${definition(session, { name: column.name, sql: wider, nullable: true, isInferred: true }, ' null')}`];
    });
  if (changesOf(shape).length === 0) return shape;
  return changeTables(session, wanted.database, wanted.table, async () => {
    const changes = changesOf(await existing(session, wanted));
    try {
      if (changes.length > 0) await changeTable(session, `alter table ${quoteName(wanted.table)} ${changes.join(', ')}`);
    } catch (error) {
      // What is there does not fit into the wider type, such as 1e300 into a decimal: then the new rows are refused.
      if (!isDataError(error)) throw error;
    }
    return existing(session, wanted);
  });
};

const existing = async (session: Session, wanted: WantedTable): Promise<TableShape> => {
  const shape = await readShape(session, wanted.table);
  if (shape === null) throw new TributaryError('STREAM_NOT_FOUND', `Table ${quoteName(wanted.table)} was dropped while it was written.`);
  return shape;
};

const checkColumns = (wanted: WantedTable, shape: TableShape): void => {
  const byName = new Map(shape.columns.map((column) => [column.name, column]));
  const where = `table ${quoteName(wanted.table)}`;
  for (const { name, type } of wanted.columns ?? []) {
    const column = byName.get(name);
    if (column === undefined) continue;
    refuseGenerated(column, where);
    if (type !== null && !accepts(column.type, type)) {
      const sql = wanted.primaryKey.includes(name) ? keyType(sqlType(type), wanted.primaryKey.length, 'utf8mb4_bin') : sqlType(type);
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `Column "${name}" of ${where} is ${column.type.sql}, but the mapper declares ${type.kind} (${sql}). Change the cast of the mapper, or run: ALTER TABLE ${quoteName(wanted.table)} MODIFY COLUMN ${quoteName(name)} ${sql}`,
        { details: { column: name, actual: column.type.sql, declared: type.kind } },
      );
    }
  }
  const unknown = shape.columns.find(
    (column) =>
      column.notNull && !column.hasDefault && !column.generated && wanted.columns !== null && !wanted.columns.some((declared) => declared.name === column.name),
  );
  if (unknown !== undefined) {
    throw new TributaryError(
      'SCHEMA_CONFLICT',
      `Column "${unknown.name}" of ${where} is NOT NULL without a default, but the mapper does not fill it. Add it to the mapper, give it a default, or make it nullable.`,
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
  const name = quoteName(wanted.table);
  const statement = `ALTER TABLE ${name} ADD ${shape.primaryKey.length === 0 ? 'PRIMARY KEY' : 'UNIQUE'} (${quoteNames(key)})`;
  const columns = new Set(shape.columns.map((column) => column.name));
  const unusable = new TributaryError(
    'SCHEMA_CONFLICT',
    `Table ${name} has no unique index on (${key.join(', ')}), which the mapper declares as primary key. Run: ${statement}`,
  );
  if (!key.every((column) => columns.has(column))) throw unusable;
  return changeTables(session, wanted.database, wanted.table, async () => {
    const [filled] = await session.query(`select 1 as there from ${name} limit 1`);
    if (filled !== undefined) throw unusable;
    await session.query(statement);
    return existing(session, wanted);
  });
};
