/**
 * What the conformance suite needs to know of MySQL. It runs on MariaDB, the one server of the two that a private copy can be had of; what is
 * MySQL's own (its form of JSON, caching_sha2_password, the collation utf8mb4_0900_bin) is not exercised. `odd-names` is left out: names
 * of columns hold no character beyond U+FFFF and do not differ in case only; those that the server takes are tested in target.int.test.ts.
 */
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Conformance, RawConfig } from '@tributary/conformance/under-test';
import type { Column, ColumnType, Row } from '@tributary/contracts/types';
import { startMariadb } from '@tributary/devstack/mariadb';
import { targetConfig } from './config.ts';
import { openSession } from './connect.ts';
import { quoteName, quoteNames, quoteText } from './identifiers.ts';
import { previewTable } from './source-table.ts';
import { fieldsOf } from './table-reader.ts';
import { readShape } from './table-shape.ts';
import { columnTypeOf, sqlType } from './types.ts';
import { decoderOf } from './values.ts';

export const configOf = (url: string): RawConfig => {
  const { hostname, port, pathname, username, password } = new URL(url);
  return { host: hostname, port: Number(port), database: pathname.slice(1), user: decodeURIComponent(username), password: decodeURIComponent(password) };
};

export const conformance: Conformance = {
  setup: async () => {
    const server = await startMariadb();
    const config = configOf(server.url);
    const session = await openSession(targetConfig.parse(config), { side: 'target', signal: new AbortController().signal });
    const rowsOf = async (table: string, typeOf: (name: string) => ColumnType | null): Promise<Row[]> => {
      const shape = await readShape(session, table);
      if (shape === null) return [];
      const decoders = shape.columns.map((column) => decoderOf(typeOf(column.name) ?? columnTypeOf(column.type)));
      const rows = await fieldsOf(session, previewTable(table, shape).select);
      return rows.map((fields) =>
        Object.fromEntries(
          shape.columns.map((column, index) => {
            const bytes = fields[index];
            return [column.name, bytes === null || bytes === undefined ? null : (decoders[index]?.(bytes) ?? null)];
          }),
        ),
      );
    };
    const insert = async (table: string, rows: readonly Row[], columns: readonly Column[]): Promise<void> => {
      if (rows.length === 0) return;
      const literal = (value: Row[string] | undefined): string =>
        value === null || value === undefined ? 'null' : quoteText(typeof value === 'string' ? value.replace(/Z$/, '') : stringifyExact(value));
      const values = rows.map((row) => `(${columns.map(({ name }) => literal(row[name])).join(', ')})`);
      await session.run(`insert into ${quoteName(table)} (${quoteNames(columns.map(({ name }) => name))}) values ${values.join(', ')}`);
    };
    const broken = [
      { why: 'a wrong password', config: { ...config, password: 'wrong' }, step: 'sign in', says: 'password' },
      { why: 'a closed port', config: { ...config, port: 1 }, step: 'connect', says: `${String(config['host'])}:1` },
      { why: 'a database that is not there', config: { ...config, database: 'no_such_database' }, step: 'database', says: 'no_such_database' },
      { why: 'a certificate that nobody trusts', config: { ...config, host: 'localhost', ssl_mode: 'verify-full' }, step: 'tls', says: 'certificate' },
    ];
    return {
      target: {
        config,
        broken,
        supports: ['upsert', 'delete', 'binary', 'undeclared'],
        refusedNote: 'half a pair: \ud83d',
        readBack: (table, columns) => {
          const types = new Map(columns.map((column) => [column.name, column.type]));
          return rowsOf(table, (name) => types.get(name) ?? null);
        },
        readErrors: async (table) =>
          (await rowsOf(table, () => null)).map((row) => ({
            code: textOf(row['code']),
            reason: textOf(row['reason']),
            payload: textOf(row['payload']),
            origin: JSON.parse(textOf(row['origin'])) as Record<string, unknown>,
          })),
      },
      source: {
        broken,
        seed: async (stream, rows, columns, primaryKey) => {
          const lines = columns.map(({ name, type }) => `${quoteName(name)} ${typeOfSeed(type)}`);
          await session.query(`create table ${quoteName(stream)} (${lines.join(', ')}, primary key (${quoteNames(primaryKey)})) character set utf8mb4`);
          await insert(stream, rows, columns);
          return { config: { ...config, table: stream, cursor_column: 'at', poll_interval_seconds: 0.2 }, stream };
        },
        append: insert,
      },
      close: async () => {
        await session.close();
        await server.stop();
      },
    };
  },
};

const textOf = (value: Row[string] | undefined): string => (typeof value === 'string' ? value : '');

/** An instant comes from a timestamp; a datetime has no zone. */
const typeOfSeed = (type: ColumnType | null): string => (type === null ? 'longtext' : type.kind === 'UTC_DATETIME' ? 'timestamp(6) null' : sqlType(type));
