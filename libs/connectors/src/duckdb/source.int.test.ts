import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { OpenSourceContext, Source } from '@tributary/connector-sdk/source';
import type { Position, RowBatch } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { sourceConfig } from './config.ts';
import { openDatabase } from './database.ts';
import { duckdbSource } from './source.ts';
import { keysetTable, sourceTable } from './source-table.ts';
import { readTable } from './table.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'tributary-duckdb-'));
  connectorSettings.fileRoot = root;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const file = 'own.duckdb';
const sql = async (...statements: string[]): Promise<void> => {
  const database = await openDatabase(path.join(root, file), file);
  try {
    await database.exclusive(async (connection) => {
      for (const statement of statements) await connection.run(statement);
    });
  } finally {
    await database.close();
  }
};

const open = (config: Record<string, unknown>, context: Partial<OpenSourceContext> = {}): Promise<Source> =>
  duckdbSource.open(sourceConfig.parse({ path: file, poll_interval_seconds: 0.05, ...config }), {
    stream: null,
    consumerId: 'c',
    slice: 0,
    slices: 1,
    mode: 'once',
    backfill: true,
    startedAt: new Date(),
    log: { debug: () => {}, info: () => {}, warn: () => {} },
    signal: AbortSignal.timeout(60_000),
    ...context,
  });

const readAll = async (config: Record<string, unknown>, from: Position = {}, maxRows = 3, maxBytes = 1 << 20) => {
  const source = await open(config);
  const batches: RowBatch[] = [];
  try {
    const reader = source.read(from, { format: 'rows', maxRows, maxBytes });
    for (;;) {
      const batch = await reader.next(AbortSignal.timeout(60_000));
      if (batch === 'end') break;
      if (batch !== 'idle' && batch.kind === 'rows') batches.push(batch);
    }
  } finally {
    await source.close();
  }
  return { rows: batches.flatMap((each) => each.rows), position: batches.at(-1)?.position ?? from, batches };
};
const ids = (rows: readonly Row[]): number[] => rows.map((row) => Number(row['id']));

test('every type comes exactly', async () => {
  await sql(
    `CREATE TABLE types (id BIGINT PRIMARY KEY, n DECIMAL(38,10), h HUGEINT, u UBIGINT, f FLOAT, d DOUBLE, b BOOLEAN, day DATE, clock TIME, ts TIMESTAMP, ns TIMESTAMP_NS, z TIMESTAMPTZ,
       who UUID, e ENUM('b', 'a'), l INTEGER[], s STRUCT(a INTEGER, b DECIMAL(30,10)), j JSON, raw BLOB, t VARCHAR)`,
    `INSERT INTO types VALUES (-9223372036854775808, '1234567890123456789012345678.1234567891', -170141183460469231731687303715884105728, 18446744073709551615, 0.5, 1e300, true, '2024-02-29', '23:59:59.999999',
       '1900-01-01 00:00:00.000001', '2024-01-01 00:00:00.123456789', '2024-03-01 14:00:00.123456+02', '6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'a', [1, NULL], {a: 1, b: 12345678901234567890.1234567891},
       '{"x":9007199254740993}', '\\x00\\xAA'::BLOB, 'tab\t🚀')`,
  );
  const { rows, batches } = await readAll({ table: 'types' });
  expect(rows).toEqual([
    {
      id: -9223372036854775808n,
      n: '1234567890123456789012345678.1234567891',
      h: '-170141183460469231731687303715884105728',
      u: '18446744073709551615',
      f: 0.5,
      d: 1e300,
      b: true,
      day: '2024-02-29',
      clock: '23:59:59.999999',
      ts: '1900-01-01T00:00:00.000001',
      ns: '2024-01-01T00:00:00.123456789',
      z: '2024-03-01T12:00:00.123456Z',
      who: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
      e: 'a',
      l: [1, null],
      s: { a: 1, b: JSON.rawJSON('12345678901234567890.1234567891') },
      j: { x: 9007199254740993n },
      raw: new Uint8Array([0, 0xaa]),
      t: 'tab\t🚀',
    },
  ]);
  expect(batches[0]?.schema?.primaryKey).toEqual(['id']);
  expect(batches[0]?.schema?.columns?.[1]).toEqual({ name: 'n', type: { kind: 'DECIMAL', precision: 38, scale: 10 }, nullable: true });
});

test('changed rows are read again by the cursor, several with one new value too, and nothing twice', async () => {
  await sql(
    'CREATE TABLE changed (id BIGINT PRIMARY KEY, v VARCHAR, seq TIMESTAMPTZ)',
    `INSERT INTO changed VALUES (1, 'a', '2024-01-01'), (2, 'b', '2024-01-01'), (3, 'c', '2024-01-01'), (9, 'n', NULL)`,
  );
  const config = { table: 'changed', cursor_column: 'seq' };
  const first = await readAll(config);
  expect(ids(first.rows)).toEqual([9, 1, 2, 3]);
  await sql(`UPDATE changed SET v = 'new', seq = '2024-01-02' WHERE id IN (1, 2)`, `INSERT INTO changed VALUES (0, 'late', '2024-01-01')`);
  const second = await readAll(config, first.position);
  expect(second.rows.map((row) => [row['id'], row['v']])).toEqual([
    [0, 'late'],
    [1, 'new'],
    [2, 'new'],
  ]);
  expect((await readAll(config, second.position)).rows).toEqual([]);
});

test('many rows come once, in batches within their bounds, whichever batch reading goes on after', async () => {
  await sql(`CREATE TABLE many AS SELECT (range * 7919) % 30000 AS id, range % 100 AS seq, 'note ' || range AS note FROM range(30000)`);
  const config = { table: 'many', key_columns: ['id'], cursor_column: 'seq' };
  const { rows, batches } = await readAll(config, {}, 1000);
  expect(rows).toHaveLength(30_000);
  expect(new Set(ids(rows)).size).toBe(30_000);
  expect(Math.max(...batches.map((batch) => batch.rows.length))).toBeLessThanOrEqual(1000);
  for (const at of [0, 7, 28]) {
    const rest = await readAll(config, batches[at]?.position, 5000, 50_000);
    expect(rest.rows).toEqual(rows.slice(batches.slice(0, at + 1).reduce((sum, batch) => sum + batch.rows.length, 0)));
    expect(rest.batches.every((batch) => batch.bytes <= 50_000)).toBe(true);
  }
  const source = await open(config);
  expect(await source.lag?.(batches[9]?.position ?? {})).toBe(20_000);
  expect(batches).toHaveLength(30);
  await source.close();
});

test('a table without a key is read by rowid; a view by the key that is named, and a key that is none is found out', async () => {
  await sql(
    'CREATE TABLE keyless (id INTEGER, grp INTEGER)',
    'INSERT INTO keyless VALUES (3, 1), (3, 1), (1, 2)',
    'CREATE VIEW seen AS SELECT id, grp FROM keyless WHERE id < 3',
  );
  const keyless = await readAll({ table: 'keyless' });
  expect(ids(keyless.rows)).toEqual([3, 3, 1]);
  await sql('INSERT INTO keyless VALUES (8, 3)');
  expect(ids((await readAll({ table: 'keyless' }, keyless.position)).rows)).toEqual([8]);
  await expect(open({ table: 'seen' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  expect(ids((await readAll({ table: 'seen', key_columns: ['id'] })).rows)).toEqual([1]);
  await expect(readAll({ table: 'keyless', key_columns: ['grp'] })).rejects.toThrow('key_columns: several rows of "keyless"');
});

test('a value that the contract has no form for is rejected alone', async () => {
  await sql('CREATE TABLE odd (id INTEGER PRIMARY KEY, day DATE)', `INSERT INTO odd VALUES (1, '2024-01-01'), (2, '0044-03-15 (BC)'), (3, 'infinity')`);
  const { rows, batches } = await readAll({ table: 'odd' }, {}, 100);
  expect(rows).toEqual([{ id: 1, day: '2024-01-01' }]);
  expect(batches[0]?.unreadable.map((row) => [row.code, row.origin])).toEqual([
    ['ROW_UNREADABLE', { table: 'odd', id: '2' }],
    ['ROW_UNREADABLE', { table: 'odd', id: '3' }],
  ]);
});

test('a view cannot reach files outside, nor a missing file be made', async () => {
  await writeFile(path.join(root, 'secret.txt'), 'secret');
  await expect(sql(`CREATE VIEW leak AS SELECT * FROM read_text('${path.join(root, 'secret.txt')}')`)).rejects.toThrow('disabled by configuration');
  await expect(open({ path: 'missing.duckdb', table: 't' })).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  await expect(open({ path: 'missing.duckdb', table: 't' })).rejects.toThrow('missing.duckdb');
});

test('a result that ends before the last row is found out', async () => {
  await sql('CREATE TABLE gap AS SELECT range AS id FROM range(300000)');
  const database = await openDatabase(path.join(root, file), file);
  const connection = await database.connectReader();
  const found = await readTable(connection, { schema: 'main', table: 'gap', columns: null, primaryKey: [] });
  if (found === null) throw new Error('The table is missing.');
  const config = sourceConfig.parse({ path: file, key_columns: ['id'] });
  const { table } = keysetTable(sourceTable('gap', found, { primaryKey: [], isView: false }, config), () => Promise.resolve(connection));
  const upTo = (await table.last('rows')) ?? [];
  const query = { phase: 'rows', fromCursor: null, upTo, maxRows: 1000, maxBytes: 1 << 20 } as const;
  const first = await table.page({ ...query, behind: null });
  connection.interrupt();
  const readOn = async (): Promise<void> => {
    for (let page = first; page.isFull;) page = await table.page({ ...query, behind: page.keyAt(page.count - 1) });
  };
  await expect(readOn()).rejects.toMatchObject({ code: 'SOURCE_FAILED', message: 'Reading table "gap" of DuckDB stopped half way.' });
  connection.closeSync();
  await database.close();
});

test('a query that is interrupted half way is no end of the table', async () => {
  await sql('CREATE TABLE cut AS SELECT range AS id FROM range(300000)');
  const abort = new AbortController();
  const source = await open({ table: 'cut', key_columns: ['id'] }, { signal: abort.signal });
  const reader = source.read({}, { format: 'rows', maxRows: 5000, maxBytes: 1 << 20 });
  await reader.next(AbortSignal.timeout(30_000));
  abort.abort(new Error('Given up.'));
  const readOn = async (): Promise<void> => {
    while ((await reader.next(AbortSignal.timeout(30_000))) !== 'end');
  };
  await expect(readOn()).rejects.toThrow('Given up.');
  await source.close();
});

test('between two looks another process can write the file', async () => {
  await sql('CREATE TABLE shared (id BIGINT PRIMARY KEY)', 'INSERT INTO shared VALUES (1)');
  const source = await open({ table: 'shared', poll_interval_seconds: 1.5 }, { mode: 'continuous' });
  const reader = source.read({}, { format: 'rows', maxRows: 10, maxBytes: 1 << 20 });
  const seen: number[] = [];
  const next = async (): Promise<unknown> => {
    const batch = await reader.next(AbortSignal.timeout(30_000));
    if (typeof batch !== 'string' && batch.kind === 'rows') seen.push(...ids(batch.rows));
    return batch;
  };
  while ((await next()) !== 'idle');
  // Reading that was given up half way does not hold the file either.
  await sql('CREATE TABLE long AS SELECT range AS id FROM range(300000)');
  const givenUp = await open({ table: 'long', key_columns: ['id'] });
  await givenUp.read({}, { format: 'rows', maxRows: 10, maxBytes: 1 << 20 }).next(AbortSignal.timeout(30_000));
  await givenUp.close();
  const writer = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { DuckDBInstance } from '@duckdb/node-api'; const i = await DuckDBInstance.create(process.argv[1]); const c = await i.connect(); await c.run('INSERT INTO shared VALUES (2)'); c.closeSync(); i.closeSync();`,
      path.join(root, file),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], cwd: new URL('.', import.meta.url).pathname },
  );
  expect((await once(writer, 'exit'))[0]).toBe(0);
  while (seen.length < 2) await next();
  expect(seen).toEqual([1, 2]);
  await source.close();
}, 60_000);
