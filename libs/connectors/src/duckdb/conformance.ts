import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Conformance, ErrorRow } from '@tributary/conformance/under-test';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { Column, Row } from '@tributary/contracts/types';
import { sqlType } from './column-types.ts';
import { openDatabase, quoted } from './database.ts';
import { readRows } from './read-rows.ts';

export const conformance: Conformance = {
  setup: async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'tributary-duckdb-'));
    connectorSettings.fileRoot = root;
    const file = 'conformance.duckdb';
    await symlink('/', path.join(root, 'way-out'));
    await writeFile(path.join(root, 'text.duckdb'), 'no database\n'.repeat(5000));
    const broken = [
      { why: 'a path that climbs out', config: { path: '../x.duckdb' }, step: 'Folder', says: '../x.duckdb' },
      { why: 'a link that leads out', config: { path: 'way-out/tmp/x.duckdb' }, step: 'Folder', says: 'way-out/tmp/x.duckdb' },
      { why: 'a file that is no database', config: { path: 'text.duckdb' }, step: 'Open', says: 'text.duckdb' },
    ];
    const run = async (statements: readonly { readonly sql: string; readonly values?: readonly (string | null)[] }[]): Promise<void> => {
      const database = await openDatabase(path.join(root, file), file);
      try {
        await database.exclusive(async (connection) => {
          for (const { sql, values } of statements) await connection.run(sql, [...(values ?? [])]);
        });
      } finally {
        await database.close();
      }
    };
    const inserts = (stream: string, rows: readonly Row[], columns: readonly Column[]) =>
      rows.map((row) => ({
        sql: `INSERT INTO ${quoted(stream)} VALUES (${columns.map(({ type }, index) => `CAST($${index + 1} AS ${type === null ? 'VARCHAR' : sqlType(type)})`).join(', ')})`,
        values: columns.map(({ name }) => (row[name] == null ? null : String(row[name] as string | bigint))),
      }));
    return {
      target: {
        config: { path: file },
        broken,
        // Names that differ in the case of letters only are one name to DuckDB, so not all odd names work.
        supports: ['upsert', 'delete', 'binary', 'undeclared'],
        readBack: (table) => readRows(path.join(root, file), file, table),
        readErrors: async (errorTable) => (await readRows(path.join(root, file), file, errorTable)) as unknown as ErrorRow[],
        refusedNote: 'half a pair: \ud83d',
      },
      source: {
        broken: [
          ...broken,
          { why: 'a file that is not there', config: { path: 'missing.duckdb' }, step: 'Open', says: 'missing.duckdb' },
          { why: 'a table that is not there', config: { path: file, table: 'no_such_table' }, step: 'Table', says: 'no_such_table' },
        ],
        seed: async (stream, rows, columns, primaryKey) => {
          const lines = columns.map(({ name, type, nullable }) => `${quoted(name)} ${type === null ? 'VARCHAR' : sqlType(type)}${nullable ? '' : ' NOT NULL'}`);
          const key = `PRIMARY KEY (${primaryKey.map(quoted).join(', ')})`;
          await run([{ sql: `CREATE TABLE ${quoted(stream)} (${lines.join(', ')}, ${key})` }, ...inserts(stream, rows, columns)]);
          return { config: { path: file, table: stream, cursor_column: 'at', poll_interval_seconds: 0.2 }, stream };
        },
        append: (stream, rows, columns) => run(inserts(stream, rows, columns)),
      },
      close: () => rm(root, { recursive: true, force: true }),
    };
  },
};
