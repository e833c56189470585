import { appendFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { Conformance, ErrorRow, RawConfig } from '@tributary/conformance/under-test';
import type { Column, Row, Value } from '@tributary/contracts/types';
import { encodeRows } from './encode.ts';
import type { FileFormat } from './file-format.ts';
import { readRejected, readTable } from './read-table.ts';
import { folderName } from './target.ts';

/** A value as its part file has it → the value that was written, where the column's type says so. */
const revived = (value: Value, column: Column | undefined, format: FileFormat): Value => {
  if (value === null) return null;
  const kind = column?.type?.kind;
  if (kind === 'BINARY' && typeof value === 'string') return new Uint8Array(Buffer.from(value, 'base64'));
  if (format === 'jsonl' || typeof value !== 'string') return value;
  if (kind === 'LONG') return Number.isSafeInteger(Number(value)) ? Number(value) : BigInt(value);
  if (kind === 'SHORT' || kind === 'INT' || kind === 'FLOAT' || kind === 'DOUBLE') return Number(value);
  if (kind === 'BOOLEAN') return value === 'true';
  return value;
};

/** The state of a log of changes: the last row of each key, unless it is a delete. */
const folded = (rows: readonly Row[], primaryKey: readonly string[]): Row[] => {
  if (primaryKey.length === 0) return [...rows];
  const last = new Map<string, Row>();
  for (const row of rows) last.set(stringifyExact(primaryKey.map((name) => row[name])), row);
  return [...last.values()].filter((row) => row._tributary_deleted !== true && row._tributary_deleted !== 'true');
};

/** The suite's subject for one format; `only` leaves out what CSV, which has no types, cannot give back. */
export const conformanceOf = (format: FileFormat, compression: 'none' | 'gzip' = 'none'): Conformance => ({
  setup: async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'tributary-files-'));
    connectorSettings.fileRoot = root;
    await mkdir(path.join(root, 'in'));
    await symlink('/', path.join(root, 'way-out'));
    await writeFile(path.join(root, 'a-file'), '');
    const fileOf = (stream: string): string => `in/${stream}.${format}`;
    const sourceConfig: RawConfig = { path: `in/*.${format}`, poll_interval_seconds: 0.1 };
    return {
      target: {
        config: { path: 'out', format, compression },
        broken: [
          { why: 'a path that climbs out', config: { path: '../elsewhere' }, step: 'Folder', says: '../elsewhere' },
          { why: 'a link that leads out', config: { path: 'way-out/tmp' }, step: 'Folder', says: 'way-out/tmp' },
          { why: 'a file where the folder should be', config: { path: 'a-file/out' }, step: 'Write' },
        ],
        supports: ['upsert', 'delete', 'binary', 'odd-names', 'undeclared'],
        readBack: async (table, columns, primaryKey) => {
          const types = new Map(columns.map((column) => [column.name, column]));
          const rows: Row[] = [];
          for await (const row of readTable(path.join(root, 'out', folderName(table)))) rows.push(row);
          return folded(rows, primaryKey).map(({ _tributary_deleted, ...row }) =>
            Object.fromEntries(Object.entries(row).map(([name, value]) => [name, revived(value, types.get(name), format)])),
          );
        },
        readErrors: async (errorTable) => {
          const rows: ErrorRow[] = [];
          // The suite names a table and its error table in a row: `…_5_data`, `…_6_errors`.
          const [, run, number] = /^(.*_)(\d+)_/.exec(errorTable) ?? [];
          const about = errorTable.endsWith('refused_errors') ? 'refused' : 'data';
          for await (const row of readRejected(path.join(root, 'out', `${run}${Number(number) - 1}_${about}`))) rows.push(row as unknown as ErrorRow);
          return rows;
        },
      },
      source: {
        broken: [
          { why: 'a path that climbs out', config: { path: '../x.jsonl' }, step: 'Folder', says: '../x.jsonl' },
          { why: 'a file that is not there', config: { path: 'in/nowhere.jsonl' }, step: 'Files', says: 'in/nowhere.jsonl' },
        ],
        seed: async (stream, rows, columns) => {
          await writeFile(
            path.join(root, fileOf(stream)),
            rows.length === 0
              ? ''
              : encodeRows(
                  rows,
                  format,
                  columns.map((column) => column.name),
                ),
          );
          return { config: sourceConfig, stream: fileOf(stream) };
        },
        append: async (stream, rows, columns) => {
          const encoded = encodeRows(
            rows,
            format,
            columns.map((column) => column.name),
          );
          await appendFile(path.join(root, fileOf(stream)), format === 'csv' ? encoded.subarray(encoded.indexOf('\n') + 1) : encoded);
        },
        unwrap: (row, columns) => Object.fromEntries(columns.map((column) => [column.name, revived(row[column.name] ?? null, column, format)])),
      },
      close: () => rm(root, { recursive: true, force: true }),
    };
  },
  ...(format === 'csv'
    ? {
        skip: {
          'takes rows of which nothing is declared': 'CSV has no types, so a number of an undeclared column comes back as text',
          'takes the stream "nested-json": Nested JSON, empty objects and lists, scalars, integers beyond 2^53':
            'CSV has no types: JSON scalars and text are alike',
          'takes the stream "undeclared": Columns that nobody declared are added as they come':
            'CSV has no types, so values of undeclared columns come back as text',
        },
      }
    : {}),
});

export const conformance: Conformance = conformanceOf('jsonl');
