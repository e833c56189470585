import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { OpenSourceContext, Source } from '@tributary/connector-sdk/source';
import type { Position, RowBatch } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { sourceConfig } from './config.ts';
import { sqliteSource } from './source.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'tributary-sqlite-'));
  connectorSettings.fileRoot = root;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const file = 'own.sqlite';
const sql = (...statements: string[]): void => {
  const connection = new DatabaseSync(path.join(root, file), { timeout: 5000 });
  connection.exec('PRAGMA journal_mode = WAL');
  for (const statement of statements) connection.exec(statement);
  connection.close();
};

const open = (config: Record<string, unknown>, context: Partial<OpenSourceContext> = {}): Promise<Source> =>
  sqliteSource.open(sourceConfig.parse({ path: file, poll_interval_seconds: 0.05, ...config }), {
    stream: null,
    consumerId: 'c',
    slice: 0,
    slices: 1,
    mode: 'once',
    backfill: true,
    startedAt: new Date(),
    log: { debug: () => {}, info: () => {}, warn: () => {} },
    signal: AbortSignal.timeout(30_000),
    ...context,
  });

const readOn = async (
  source: Source,
  from: Position,
  maxRows: number,
  maxBytes = 1 << 20,
): Promise<{ rows: Row[]; position: Position; batches: RowBatch[] }> => {
  const reader = source.read(from, { format: 'rows', maxRows, maxBytes });
  const batches: RowBatch[] = [];
  for (;;) {
    const batch = await reader.next(AbortSignal.timeout(30_000));
    if (batch === 'end') return { rows: batches.flatMap((each) => each.rows), position: batches.at(-1)?.position ?? from, batches };
    if (batch !== 'idle' && batch.kind === 'rows') batches.push(batch);
  }
};
const readAll = async (config: Record<string, unknown>, from: Position = {}, maxRows = 3) => {
  const source = await open(config);
  try {
    return await readOn(source, from, maxRows);
  } finally {
    await source.close();
  }
};
const ids = (rows: readonly Row[]): number[] => rows.map((row) => Number(row['id']));

test('changed rows are read again by the cursor, several with one new value too, and nothing twice', async () => {
  sql('CREATE TABLE changed (id INTEGER PRIMARY KEY, v TEXT, seq INT)', `INSERT INTO changed VALUES (1, 'a', 10), (2, 'b', 10), (3, 'c', 10)`);
  const config = { table: 'changed', cursor_column: 'seq' };
  const first = await readAll(config);
  expect(ids(first.rows)).toEqual([1, 2, 3]);
  sql(`UPDATE changed SET v = 'new', seq = 11 WHERE id IN (1, 2)`, `INSERT INTO changed VALUES (0, 'late', 10)`);
  const second = await readAll(config, first.position);
  expect(second.rows).toEqual([
    { id: 0, v: 'late', seq: 10 },
    { id: 1, v: 'new', seq: 11 },
    { id: 2, v: 'new', seq: 11 },
  ]);
  expect((await readAll(config, second.position)).rows).toEqual([]);
});

test('rows without a cursor value come first, once', async () => {
  sql('CREATE TABLE nulls (id INTEGER PRIMARY KEY, seq INT)', 'INSERT INTO nulls VALUES (5, NULL), (1, 7), (4, NULL), (2, NULL), (9, 3)');
  const config = { table: 'nulls', cursor_column: 'seq' };
  const all = await readAll(config, {}, 2);
  expect(ids(all.rows)).toEqual([2, 4, 5, 9, 1]);
  for (const [index, batch] of all.batches.entries()) {
    const before = all.batches.slice(0, index + 1).flatMap((each) => each.rows).length;
    expect(ids((await readAll(config, batch.position, 2)).rows)).toEqual(ids(all.rows).slice(before));
  }
});

test('a table without a key is read by rowid, one with a text key by it', async () => {
  sql(
    'CREATE TABLE keyless (id INT)',
    'INSERT INTO keyless VALUES (3), (3), (1), (2)',
    `CREATE TABLE texts (id INT, code TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID`,
    `INSERT INTO texts VALUES (1, 'ä'), (2, ''), (3, 'a'), (4, 'Z'), (5, '🚀')`,
  );
  const keyless = await readAll({ table: 'keyless' });
  expect(ids(keyless.rows)).toEqual([3, 3, 1, 2]);
  expect(keyless.batches[0]?.originOf(1)).toEqual({ table: 'keyless', rowid: 'i:2' });
  sql('INSERT INTO keyless VALUES (8)');
  expect(ids((await readAll({ table: 'keyless' }, keyless.position)).rows)).toEqual([8]);
  expect(ids((await readAll({ table: 'texts' })).rows)).toEqual([2, 4, 3, 1, 5]);
});

test('a view is read by the key that is named; a key that is none is found out', async () => {
  sql(
    'CREATE TABLE base (id INTEGER PRIMARY KEY, grp INT)',
    'INSERT INTO base VALUES (1, 1), (2, 1), (3, 2)',
    'CREATE VIEW seen AS SELECT id, grp FROM base WHERE id > 1',
  );
  await expect(open({ table: 'seen' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  expect(ids((await readAll({ table: 'seen', key_columns: ['id'] })).rows)).toEqual([2, 3]);
  await expect(readAll({ table: 'base', key_columns: ['grp'] })).rejects.toThrow('key_columns: several rows of "base"');
});

test('a value that is not what its column promises is rejected alone', async () => {
  sql(
    'CREATE TABLE loose (id INTEGER PRIMARY KEY, n INT, on_off BOOLEAN, d DATE)',
    `INSERT INTO loose VALUES (1, 5, 1, '2024-01-01'), (2, 'five', 0, 12), (3, 7, 2, 1.5), (4, NULL, NULL, NULL)`,
  );
  const { rows, batches } = await readAll({ table: 'loose' }, {}, 100);
  expect(rows).toEqual([
    { id: 1, n: 5, on_off: true, d: '2024-01-01' },
    { id: 4, n: null, on_off: null, d: null },
  ]);
  expect(batches[0]?.unreadable).toEqual([
    {
      code: 'ROW_UNREADABLE',
      reason: 'Column "n": "five" is no LONG.',
      payload: '{"id":2,"n":"five","on_off":0,"d":12}',
      origin: { table: 'loose', id: 'i:2' },
    },
    {
      code: 'ROW_UNREADABLE',
      reason: 'Column "on_off": 2 is no BOOLEAN.',
      payload: '{"id":3,"n":7,"on_off":2,"d":1.5}',
      origin: { table: 'loose', id: 'i:3' },
    },
  ]);
  expect(batches[0]?.originOf(1)).toEqual({ table: 'loose', id: 'i:4' });
});

test('a cursor without an index is read in few passes, in batches within their bounds', async () => {
  sql(
    'CREATE TABLE unsorted (id INTEGER PRIMARY KEY, seq INT, note TEXT)',
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) INSERT INTO unsorted SELECT i, (i * 7919) % 1000, 'note ' || i FROM n`,
  );
  const { rows, batches } = await readAll({ table: 'unsorted', cursor_column: 'seq' }, {}, 5000);
  expect(new Set(ids(rows)).size).toBe(120_000);
  expect(rows).toHaveLength(120_000);
  expect(Math.max(...batches.map((batch) => batch.rows.length))).toBeLessThanOrEqual(5000);
  const source = await open({ table: 'unsorted', cursor_column: 'seq' });
  expect(await source.lag?.(batches[3]?.position ?? {})).toBe(100_000);
  const small = await readOn(source, batches[20]?.position ?? {}, 5000, 1000);
  expect(small.batches.every((batch) => batch.bytes <= 1000)).toBe(true);
  await source.close();
}, 60_000);

test('an abort does not wait for a query that is under way', async () => {
  sql('CREATE VIEW endless AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 30000000) SELECT id FROM n');
  const abort = new AbortController();
  const source = await open({ table: 'endless', key_columns: ['id'] });
  const reading = source.read({}, { format: 'rows', maxRows: 10, maxBytes: 1 << 20 }).next(abort.signal);
  const started = performance.now();
  setTimeout(() => abort.abort(new Error('Given up.')), 100);
  await expect(reading).rejects.toThrow('Given up.');
  expect(performance.now() - started).toBeLessThan(2000);
  await source.close();
}, 30_000);
