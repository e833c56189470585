import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Conformance, ErrorRow } from '@tributary/conformance/under-test';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import { readRows } from './read-rows.ts';

export const conformance: Conformance = {
  setup: async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'tributary-duckdb-'));
    connectorSettings.fileRoot = root;
    const file = 'conformance.duckdb';
    await symlink('/', path.join(root, 'way-out'));
    await writeFile(path.join(root, 'text.duckdb'), 'no database\n'.repeat(5000));
    return {
      target: {
        config: { path: file },
        broken: [
          { why: 'a path that climbs out', config: { path: '../x.duckdb' }, step: 'Folder', says: '../x.duckdb' },
          { why: 'a link that leads out', config: { path: 'way-out/tmp/x.duckdb' }, step: 'Folder', says: 'way-out/tmp/x.duckdb' },
          { why: 'a file that is no database', config: { path: 'text.duckdb' }, step: 'Open', says: 'text.duckdb' },
        ],
        // Names that differ in the case of letters only are one name to DuckDB, so not all odd names work.
        supports: ['upsert', 'delete', 'binary', 'undeclared'],
        readBack: (table) => readRows(path.join(root, file), file, table),
        readErrors: async (errorTable) => (await readRows(path.join(root, file), file, errorTable)) as unknown as ErrorRow[],
        refusedNote: 'half a pair: \ud83d',
      },
      close: () => rm(root, { recursive: true, force: true }),
    };
  },
};
