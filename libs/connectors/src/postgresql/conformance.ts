/** What the conformance suite needs to know of PostgreSQL. */
import pg from 'pg';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Conformance, RawConfig } from '@tributary/conformance/under-test';
import { freshDatabase } from '@tributary/devstack/testing';
import type { Column, ColumnType, Row } from '@tributary/contracts/types';
import { decoderFor } from './copy-text.ts';
import { qualified, quoteName, quoteNames } from './identifiers.ts';
import { sqlType } from './types.ts';

const configOf = (url: string): RawConfig => {
  const { hostname, port, pathname, username, password } = new URL(url);
  return { host: hostname, port: Number(port), database: pathname.slice(1), user: decodeURIComponent(username), password: decodeURIComponent(password) };
};

/** The type that a column's values are read as: of undeclared ones, what they look like. */
const text = (type: ColumnType | null): ((value: string) => Row[string]) => (type === null ? guess : decoderFor(type));
const guess = (value: string): Row[string] => (/^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);

export const conformance: Conformance = {
  setup: async () => {
    const database = await freshDatabase('postgres');
    const client = new pg.Client({ connectionString: database.url, types: { getTypeParser: () => (value: string | Buffer) => value.toString() } });
    client.on('error', () => {});
    await client.connect();
    await client.query(`set timezone = 'UTC'`);
    const config = configOf(database.url);
    const rowsOf = async (table: string): Promise<Record<string, string | null>[]> => {
      const found = await client.query<{ there: string | null }>('select to_regclass($1) as there', [qualified('public', table)]);
      return found.rows[0]?.there == null ? [] : (await client.query<Record<string, string | null>>(`select * from ${qualified('public', table)}`)).rows;
    };
    const insert = async (table: string, rows: readonly Row[], columns: readonly Column[]): Promise<void> => {
      for (const row of rows) {
        const values = columns.map(({ name }) => {
          const value = row[name] ?? null;
          return value === null || typeof value === 'string' ? value : stringifyExact(value);
        });
        await client.query(
          `insert into ${qualified('public', table)} (${quoteNames(columns.map(({ name }) => name))}) values (${values.map((_, index) => `$${index + 1}`).join(', ')})`,
          values,
        );
      }
    };
    const broken = [
      { why: 'a wrong password', config: { ...config, password: 'wrong' }, step: 'sign in', says: 'password' },
      { why: 'a closed port', config: { ...config, port: 1 }, step: 'connect', says: `${String(config['host'])}:1` },
      { why: 'a database that is not there', config: { ...config, database: 'no_such_database' }, step: 'database', says: 'no_such_database' },
      { why: 'a schema that is not there', config: { ...config, schema: 'no_such_schema' }, step: 'permissions', says: 'no_such_schema' },
      { why: 'TLS where the server has none', config: { ...config, ssl_mode: 'require' }, step: 'tls', says: 'SSL' },
    ];
    return {
      target: {
        config,
        broken,
        supports: ['upsert', 'delete', 'binary', 'undeclared', 'odd-names'],
        refusedNote: 'a\0b',
        readBack: async (table, columns) => {
          const types = new Map(columns.map((column) => [column.name, text(column.type)]));
          const booleans = /^[tf]$/;
          return (await rowsOf(table)).map((row) =>
            Object.fromEntries(
              Object.entries(row).map(([name, value]) => {
                const decode = types.get(name);
                if (value === null) return [name, null];
                if (decode !== undefined) return [name, decode(value)];
                return [name, booleans.test(value) ? value === 't' : value.startsWith('{') ? decoderFor({ kind: 'JSON' })(value) : guess(value)];
              }),
            ),
          );
        },
        readErrors: async (table) =>
          (await rowsOf(table)).map((row) => ({
            code: row['code'] ?? '',
            reason: row['reason'] ?? '',
            payload: row['payload'] ?? '',
            origin: JSON.parse(row['origin'] ?? '{}') as Record<string, unknown>,
          })),
      },
      source: {
        broken,
        seed: async (stream, rows, columns, primaryKey) => {
          const lines = columns.map(({ name, type }) => `${quoteName(name)} ${type === null ? 'text' : sqlType(type)}`);
          await client.query(`create table ${qualified('public', stream)} (${lines.join(', ')}, primary key (${quoteNames(primaryKey)}))`);
          await insert(stream, rows, columns);
          return { config: { ...config, table: stream, cursor_column: 'at', poll_interval_seconds: 0.2 }, stream };
        },
        append: insert,
      },
      close: async () => {
        await client.end();
        await database.drop();
      },
    };
  },
};
