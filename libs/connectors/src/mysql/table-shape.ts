/** What the server says of a table: https://dev.mysql.com/doc/refman/8.4/en/information-schema.html */
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { quoteName, quoteText } from './identifiers.ts';
import type { MysqlType } from './types.ts';

export interface TableColumn {
  readonly name: string;
  readonly type: MysqlType;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
  /** The server computes it; it cannot be written. */
  readonly generated: boolean;
  /** Tributary made it, with a type that the first values had: it may be given a wider one. */
  readonly isInferred: boolean;
}

/** The comment on such columns. */
export const inferredMark = 'Type chosen by Tributary from the first values.';

export interface TableShape {
  /** null: a view. */
  readonly engine: string | null;
  /** In the table's order. */
  readonly columns: readonly TableColumn[];
  readonly primaryKey: readonly string[];
  /** Column sets of unique indexes over whole columns. */
  readonly uniqueKeys: readonly (readonly string[])[];
  /** All unique indexes, those over parts and expressions among them. */
  readonly uniqueIndexes: number;
}

type ColumnRow = Readonly<
  Record<'name' | 'data_type' | 'column_type' | 'nullable' | 'extra' | 'comment', string> &
    Record<'default_value' | 'digits' | 'scale' | 'fraction' | 'collation_name', string | null>
>;

const ofTable = (session: Session, table: string): string =>
  `table_schema = database() and table_name = ${quoteText(table)}${session.server.foldsTableNames ? '' : ` and binary table_name = ${quoteText(table)}`}`;

/** The storage engine; '' of a view, null when there is no such table. */
export const engineOf = async (session: Session, table: string): Promise<string | null> => {
  const [found] = await session.query<{ engine: string | null }>(`select engine as engine from information_schema.tables where ${ofTable(session, table)}`);
  return found === undefined ? null : (found.engine ?? '');
};

/** I2: rows and checkpoint are one transaction, which only InnoDB has. @throws SCHEMA_CONFLICT */
export const requireTransactions = (table: string, engine: string | null): void => {
  if (engine === 'InnoDB') return;
  throw new TributaryError(
    'SCHEMA_CONFLICT',
    engine === '' || engine === null
      ? `${quoteName(table)} is a view, which cannot be written exactly once. Name a table.`
      : `Table ${quoteName(table)} is kept by ${engine}, which has no transactions. Run: ALTER TABLE ${quoteName(table)} ENGINE = InnoDB`,
    { details: { table, engine } },
  );
};

/** null: there is no such table or view. */
export const readShape = async (session: Session, table: string): Promise<TableShape | null> => {
  const engine = await engineOf(session, table);
  if (engine === null) return null;
  const where = ofTable(session, table);
  const columns = await session.query<ColumnRow>(
    `select column_name as name, data_type as data_type, column_type as column_type, is_nullable as nullable, extra as extra, column_comment as comment,
            column_default as default_value, numeric_precision as digits, numeric_scale as scale, datetime_precision as fraction, collation_name as collation_name
       from information_schema.columns where ${where} order by ordinal_position`,
  );
  const keys = await session.query<Readonly<Record<'name', string> & Record<'column_name' | 'part', string | null>>>(
    `select index_name as name, column_name as column_name, sub_part as part from information_schema.statistics where ${where} and non_unique = 0
      order by index_name, seq_in_index`,
  );
  const documents = await documentColumns(session, table);
  const indexes = Map.groupBy(keys, (key) => key.name);
  const whole = [...indexes].filter(([, parts]) => parts.every((part) => part.part === null && part.column_name !== null));
  const namesOf = (parts: typeof keys): string[] => parts.map((part) => part.column_name ?? '');
  return {
    engine: engine === '' ? null : engine,
    columns: columns.map((column) => ({
      name: column.name,
      type: {
        name: documents.has(column.name)
          ? 'json'
          : column.column_type.startsWith('tinyint(1)') && !/unsigned/.test(column.column_type)
            ? 'boolean'
            : column.data_type,
        sql: column.column_type,
        unsigned: column.column_type.includes('unsigned'),
        digits: numberOf(column.digits),
        scale: numberOf(column.scale),
        fraction: numberOf(column.fraction),
        collation: column.collation_name,
        isNativeJson: column.data_type === 'json',
      },
      notNull: column.nullable === 'NO',
      hasDefault: (column.default_value !== null && column.default_value !== 'NULL') || /auto_increment|DEFAULT_GENERATED/i.test(column.extra),
      generated: /(VIRTUAL|STORED|PERSISTENT) GENERATED/i.test(column.extra),
      isInferred: column.comment === inferredMark,
    })),
    primaryKey: namesOf(indexes.get('PRIMARY') ?? []),
    uniqueKeys: whole.map(([, parts]) => namesOf(parts)),
    uniqueIndexes: indexes.size,
  };
};

const numberOf = (text: string | null): number | null => (text === null ? null : Number(text));

/** MariaDB keeps JSON as text with a check: https://mariadb.com/kb/en/json-data-type/ */
const documentColumns = async (session: Session, table: string): Promise<Set<string>> => {
  if (!session.server.isMariadb) return new Set();
  const checks = await session.query<{ clause: string }>(
    `select check_clause as clause from information_schema.check_constraints where constraint_schema = database() and table_name = ${quoteText(table)}`,
  );
  return new Set(
    checks.flatMap(({ clause }) => {
      const column = /^json_valid\(`((?:[^`]|``)+)`\)$/i.exec(clause)?.[1];
      return column === undefined ? [] : [column.replaceAll('``', '`')];
    }),
  );
};

export const hasUniqueKey = (shape: TableShape, columns: readonly string[]): boolean =>
  shape.uniqueKeys.some((key) => key.length === columns.length && key.every((name) => columns.includes(name)));
