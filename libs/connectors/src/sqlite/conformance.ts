import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Conformance, ErrorRow } from '@tributary/conformance/under-test';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { Column, Row } from '@tributary/contracts/types';
import { sqlType } from './column-types.ts';
import { quoted } from './database.ts';
import { readRows } from './read-rows.ts';
import { encoderOf } from './values.ts';

export const conformance: Conformance = {
  setup: async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'tributary-sqlite-'));
    connectorSettings.fileRoot = root;
    const file = 'conformance.sqlite';
    const absolute = path.join(root, file);
    await symlink('/', path.join(root, 'way-out'));
    await writeFile(path.join(root, 'text.sqlite'), 'no database\n'.repeat(5000));
    const broken = [
      { why: 'a path that climbs out', config: { path: '../x.sqlite' }, step: 'Folder', says: '../x.sqlite' },
      { why: 'a link that leads out', config: { path: 'way-out/tmp/x.sqlite' }, step: 'Folder', says: 'way-out/tmp/x.sqlite' },
      { why: 'a file that is no database', config: { path: 'text.sqlite' }, step: 'Open', says: 'text.sqlite' },
    ];
    const insert = async (stream: string, rows: readonly Row[], columns: readonly Column[]): Promise<void> => {
      const connection = new DatabaseSync(absolute, { timeout: 5000 });
      const statement = connection.prepare(`INSERT INTO ${quoted(stream)} VALUES (${columns.map(() => '?').join(', ')})`);
      const encoders = columns.map(({ type }) => encoderOf(type === null ? '' : sqlType(type), type));
      for (const row of rows)
        statement.run(
          ...columns.map(({ name }, index) => {
            const value = row[name] ?? null;
            return value === null ? null : (encoders[index]?.(value) ?? null);
          }),
        );
      connection.close();
    };
    return {
      target: {
        config: { path: file },
        broken,
        // Names that differ in the case of letters only are one name to SQLite, so not all odd names work.
        supports: ['upsert', 'delete', 'binary', 'undeclared'],
        readBack: (table) => Promise.resolve(readRows(absolute, table)),
        readErrors: (errorTable) => Promise.resolve(readRows(absolute, errorTable) as unknown as ErrorRow[]),
        refusedNote: 'half a pair: \ud83d',
      },
      source: {
        broken: [
          ...broken,
          { why: 'a file that is not there', config: { path: 'missing.sqlite' }, step: 'Open', says: 'missing.sqlite' },
          { why: 'a table that is not there', config: { path: file, table: 'no_such_table' }, step: 'Table', says: 'no_such_table' },
        ],
        seed: async (stream, rows, columns, primaryKey) => {
          const lines = columns.map(({ name, type, nullable }) => `${quoted(name)} ${type === null ? '' : sqlType(type)}${nullable ? '' : ' NOT NULL'}`);
          const connection = new DatabaseSync(absolute, { timeout: 5000 });
          connection.exec(
            `PRAGMA journal_mode = WAL; CREATE TABLE ${quoted(stream)} (${lines.join(', ')}, PRIMARY KEY (${primaryKey.map(quoted).join(', ')}))`,
          );
          connection.close();
          await insert(stream, rows, columns);
          return { config: { path: file, table: stream, cursor_column: 'at', poll_interval_seconds: 0.2 }, stream };
        },
        append: insert,
      },
      close: () => rm(root, { recursive: true, force: true }),
    };
  },
};
