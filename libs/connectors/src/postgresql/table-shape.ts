/** What the catalogue says of a table: https://www.postgresql.org/docs/current/catalogs.html */
import type { Session } from './connect.ts';
import type { PgType } from './types.ts';

export interface TableColumn {
  readonly name: string;
  readonly type: PgType;
  /** pg_attribute.atttypmod. */
  readonly modifier: number;
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
  readonly oid: string;
  /** In the table's order. */
  readonly columns: readonly TableColumn[];
  readonly primaryKey: readonly string[];
  /** Column sets that ON CONFLICT can name: of whole, immediate, valid unique indexes. */
  readonly uniqueKeys: readonly (readonly string[])[];
}

interface ColumnRow extends Record<string, unknown> {
  readonly name: string;
  readonly type: string;
  readonly category: string;
  readonly sql: string;
  readonly modifier: string;
  readonly not_null: string;
  readonly has_default: string;
  readonly generated: string;
  readonly is_inferred: string;
}

/** null: there is no such table, view or foreign table. */
export const readShape = async (session: Session, schema: string, table: string): Promise<TableShape | null> => {
  const [found] = await session.query<{ oid: string }>(
    `select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p', 'v', 'm', 'f')`,
    [schema, table],
  );
  if (found === undefined) return null;
  const columns = await session.query<ColumnRow>(
    `select a.attname as name, coalesce(b.typname, t.typname) as type, coalesce(b.typcategory, t.typcategory) as category,
            format_type(a.atttypid, a.atttypmod) as sql, case when t.typtype = 'd' then t.typtypmod else a.atttypmod end as modifier,
            a.attnotnull as not_null, a.atthasdef or a.attidentity = 'd' as has_default, a.attgenerated <> '' or a.attidentity = 'a' as generated,
            coalesce(col_description(a.attrelid, a.attnum) = $2, false) as is_inferred
       from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
      where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [found.oid, inferredMark],
  );
  const keys = await session.query<{ primary: string; columns: string }>(
    `select i.indisprimary as primary,
            (select json_agg(a.attname order by k.place) from unnest(i.indkey::int2[]) with ordinality as k (number, place)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number where k.place <= i.indnkeyatts) as columns
       from pg_index i where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
      order by i.indisprimary desc`,
    [found.oid],
  );
  const uniqueKeys = keys.map((key) => JSON.parse(key.columns) as string[]);
  return {
    oid: found.oid,
    columns: columns.map((column) => ({
      name: column.name,
      type: { name: column.type, category: column.category, sql: column.sql },
      modifier: Number(column.modifier),
      notNull: column.not_null === 't',
      hasDefault: column.has_default === 't',
      generated: column.generated === 't',
      isInferred: column.is_inferred === 't',
    })),
    primaryKey: keys[0]?.primary === 't' ? (uniqueKeys[0] ?? []) : [],
    uniqueKeys,
  };
};

export const hasUniqueKey = (shape: TableShape, columns: readonly string[]): boolean =>
  shape.uniqueKeys.some((key) => key.length === columns.length && key.every((name) => columns.includes(name)));
