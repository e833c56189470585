import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Reader, Source } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { freshDatabase, type FreshDatabase } from '@tributary/devstack/testing';
import { sourceConfig, type SourceConfig } from './config.ts';
import { postgresqlSource } from './source.ts';

let database: FreshDatabase;
let admin: pg.Client;
let base: Record<string, unknown>;

beforeAll(async () => {
  database = await freshDatabase('postgres');
  admin = await connect();
  const { hostname, port, username, password } = new URL(database.url);
  base = { host: hostname, port, database: database.name, user: username, password: decodeURIComponent(password), poll_interval_seconds: 0.1 };
});

afterAll(async () => {
  await admin.end();
  await database.drop();
});

const connect = async (): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => {});
  await client.connect();
  await client.query(`set timezone = 'UTC'`);
  return client;
};

const log = { debug: () => {}, info: () => {}, warn: () => {} };
const configFor = (table: string, more: Partial<SourceConfig> = {}): SourceConfig => sourceConfig.parse({ ...base, table, ...more });

const open = (table: string, more: Partial<SourceConfig> = {}, mode: 'once' | 'continuous' = 'once', backfill = true): Promise<Source> =>
  postgresqlSource.open(configFor(table, more), {
    log,
    signal: AbortSignal.timeout(60_000),
    stream: null,
    consumerId: 'test',
    slice: 0,
    slices: 1,
    mode,
    backfill,
    startedAt: new Date(),
  });

interface Piece {
  readonly rows: Row[];
  readonly position: Position;
}

const pieces = async (reader: Reader, enough = Number.POSITIVE_INFINITY): Promise<Piece[]> => {
  const found: Piece[] = [];
  const signal = AbortSignal.timeout(30_000);
  for (let count = 0; count < enough;) {
    const batch = await reader.next(signal);
    if (batch === 'end') break;
    if (batch === 'idle') continue;
    if (batch.kind !== 'rows') throw new Error('no rows');
    found.push({ rows: batch.rows, position: batch.position });
    count += batch.rows.length;
  }
  return found;
};

const readAll = async (source: Source, from?: Position, maxRows = 1000): Promise<Piece[]> =>
  pieces(source.read(from ?? (await source.firstPosition()), { format: 'rows', maxRows, maxBytes: 1 << 20 }));
const rowsOf = (found: readonly Piece[]): Row[] => found.flatMap((piece) => piece.rows);

/** Every checkpoint of a full read leads to exactly the rest. */
const resumesExactly = async (table: string, more: Partial<SourceConfig>, maxRows: number): Promise<Row[]> => {
  const source = await open(table, more);
  const whole = await readAll(source, undefined, maxRows);
  const all = rowsOf(whole);
  let before = 0;
  for (const piece of whole) {
    before += piece.rows.length;
    expect(rowsOf(await readAll(source, piece.position, maxRows))).toEqual(all.slice(before));
  }
  await source.close();
  return all;
};

test('a row with JSON nested too deep is rejected alone', async () => {
  await admin.query(`create table deep (id int primary key, j json);
    insert into deep values (1, '1'), (2, (repeat('[', 2000) || repeat(']', 2000))::json), (3, '[3]')`);
  const source = await open('deep');
  const batch = await source.read(await source.firstPosition(), { format: 'rows', maxRows: 10, maxBytes: 1 << 20 }).next(AbortSignal.timeout(10_000));
  await source.close();
  if (typeof batch === 'string' || batch.kind !== 'rows') throw new Error('no rows');
  expect(batch.rows).toEqual([
    { id: 1, j: 1 },
    { id: 3, j: [3] },
  ]);
  expect(batch.unreadable).toMatchObject([{ code: 'ROW_UNREADABLE', reason: expect.stringContaining('deeper than 1000') as string, origin: { id: '2' } }]);
});

test('values of every type keep all their digits', async () => {
  await admin.query(`create type pair as (a int, b text); create domain price as numeric(10, 2);
    create table kinds (id int8 primary key, s int2, i int4, f4 float4, f8 float8, n numeric, p price, b bool, d date, t time, ts timestamp, tz timestamptz, raw bytea, j json, jb jsonb, u uuid, tags text[], grid int[][], c pair, iv interval, x text);
    insert into kinds values (9223372036854775807, -32768, 2147483647, 0.1, 0.1, 12345678901234567890.123456789, 1.5, true, '0001-01-01', '23:59:59.999999', '2024-02-29 12:34:56.123456', '2024-02-29 12:34:56.123456+02', '\\x00ff5c', '{"a": 9007199254740993}', '[1.5, 0.12345678901234567890, null, "x\\ny"]', '5f0c1b1e-95a4-4a4e-8a47-3b5a4f3e2d1c', '{"a b",NULL,"c\\"d"}', '{{1,2},{3,4}}', row(1, 'x'), '1 day 02:00', E'tab\\tnew\\nline\\r\\\\N\\b\\f\\x0b');
    insert into kinds (id, f8, n, tz, x) values (1, 'NaN', 'NaN', 'infinity', '\\N'), (2, '-Infinity', 'Infinity', null, '')`);
  const source = await open('kinds');
  const rows = rowsOf(await readAll(source));
  expect((await source.schema())?.columns?.find((column) => column.name === 'p')?.type).toEqual({ kind: 'DECIMAL', precision: 10, scale: 2 });
  await source.close();
  expect(rows[2]).toEqual({
    id: 9223372036854775807n,
    s: -32768,
    i: 2147483647,
    f4: 0.1,
    f8: 0.1,
    n: '12345678901234567890.123456789',
    p: '1.50',
    b: true,
    d: '0001-01-01',
    t: '23:59:59.999999',
    ts: '2024-02-29T12:34:56.123456',
    tz: '2024-02-29T10:34:56.123456Z',
    raw: new Uint8Array([0, 255, 92]),
    j: { a: 9007199254740993n },
    jb: [1.5, JSON.rawJSON('0.12345678901234567890'), null, 'x\ny'],
    u: '5f0c1b1e-95a4-4a4e-8a47-3b5a4f3e2d1c',
    tags: ['a b', null, 'c"d'],
    grid: [
      [1, 2],
      [3, 4],
    ],
    c: { a: 1, b: 'x' },
    iv: 'P1DT2H',
    x: 'tab\tnew\nline\r\\N\b\f\v',
  });
  expect(rows[0]).toMatchObject({ f8: Number.NaN, n: 'NaN', tz: 'infinity', x: '\\N', s: null });
  expect(rows[1]).toMatchObject({ f8: Number.NEGATIVE_INFINITY, n: 'Infinity', tz: null, x: '' });
});

test('a key of several columns is read in its order, from any checkpoint', async () => {
  await admin.query(`create table composite (region text, number int, note text, primary key (region, number));
    insert into composite select r, n, 'x' from unnest(array['', 'a''b', 'ä', 'Z\\']) as r, generate_series(1, 25) as n`);
  expect((await resumesExactly('composite', {}, 7)).length).toBe(100);
});

test('rows that share one cursor value are told apart by key; rows without one come first', async () => {
  await admin.query(`create table shared (id int primary key, at timestamptz);
    insert into shared select n, case when n % 10 = 0 then null else '2024-01-01 00:00:00.000001+00'::timestamptz + (n / 30) * interval '1 microsecond' end from generate_series(1, 200) as n`);
  const all = await resumesExactly('shared', { cursor_column: 'at' }, 7);
  expect(all.length).toBe(200);
  expect(all.slice(0, 20).every((row) => row['at'] === null)).toBe(true);
});

test('a table without a key is read by cursor and row, equal rows included', async () => {
  await admin.query(
    `create table keyless (at int not null, note text); insert into keyless select n / 40, case when n % 3 = 0 then 'same' else 'note ' || n end from generate_series(1, 200) as n`,
  );
  const all = await resumesExactly('keyless', { cursor_column: 'at' }, 7);
  expect(all.length).toBe(200);
  expect(all.filter((row) => row['note'] === 'same').length).toBe(66);
});

test('a row that turns up later with the last cursor value is still read, once', async () => {
  await admin.query(`create table late (id int primary key, at timestamptz); insert into late select n, '2024-01-01' from generate_series(10, 20) as n`);
  const source = await open('late', { cursor_column: 'at' }, 'continuous');
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
  const first = await pieces(reader, 11);
  await admin.query(`insert into late values (5, '2024-01-01'), (15000, '2024-01-01')`);
  const second = await pieces(reader, 2);
  expect(rowsOf(second).map((row) => row['id'])).toEqual([5, 15000]);
  await admin.query(`update late set at = '2024-01-02' where id = 12`);
  expect(rowsOf(await pieces(reader, 1)).map((row) => row['id'])).toEqual([12]);
  expect(rowsOf(first).length).toBe(11);
  await source.close();
});

test('rows that were read and then change together to one newer cursor value are all read again', async () => {
  await admin.query(`create table together (id int primary key, note text, at int)`);
  await admin.query(`insert into together values (1, 'a', 10), (2, 'b', 10), (3, 'c', 10)`);
  const source = await open('together', { cursor_column: 'at' }, 'continuous');
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1e6 });
  expect((await pieces(reader, 3)).flatMap(({ rows }) => rows)).toHaveLength(3);
  await admin.query(`update together set note = 'new', at = 11`);
  const again = (await pieces(reader, 3)).flatMap(({ rows }) => rows);
  await source.close();
  expect(new Set(again.map((row) => row['id']))).toEqual(new Set([1, 2, 3]));
  expect(again.every((row) => row['note'] === 'new')).toBe(true);
});

test('more rows of one cursor value than a checkpoint lists are read once each', async () => {
  await admin.query(
    `create table many (id int primary key, at date not null); insert into many select n, '2024-01-01' from generate_series(1, 5000) as n; insert into many values (6000, '2024-01-02')`,
  );
  const all = await resumesExactly('many', { cursor_column: 'at' }, 450);
  expect(all.map((row) => row['id'])).toEqual([...Array.from({ length: 5000 }, (_, index) => index + 1), 6000]);
});

test('a row whose transaction commits late is not passed over', async () => {
  await admin.query(`create table sequenced (id bigint generated always as identity primary key, note text); insert into sequenced (note) values ('before')`);
  const slow = await connect();
  await slow.query('begin');
  await slow.query(`insert into sequenced (note) values ('slow')`);
  await admin.query(`insert into sequenced (note) values ('quick')`);
  const source = await open('sequenced', {}, 'continuous');
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
  for (let look = 0; look < 5; look++) expect(await reader.next(AbortSignal.timeout(10_000))).toBe('idle');
  await slow.query('commit');
  await slow.end();
  expect(rowsOf(await pieces(reader, 3)).map((row) => row['note'])).toEqual(['before', 'slow', 'quick']);
  await source.close();
});

test('a lost connection is made anew and nothing is read twice', async () => {
  await admin.query(`create table lost (id int primary key, note text); insert into lost select n, repeat('x', 200) from generate_series(1, 60000) as n`);
  const source = await open('lost');
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 500, maxBytes: 1 << 20 });
  const first = await pieces(reader, 1000);
  await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tributary source' and datname = current_database()`);
  const rest = await pieces(reader);
  await source.close();
  expect([...rowsOf(first), ...rowsOf(rest)].map((row) => row['id'])).toEqual(Array.from({ length: 60_000 }, (_, index) => index + 1));
});

test('an empty table without a backfill begins with its first row', async () => {
  await admin.query(`create table fresh (id int primary key, at timestamptz)`);
  for (const more of [{}, { cursor_column: 'at' }]) {
    const source = await open('fresh', more, 'once', false);
    const from = await source.firstPosition();
    await admin.query(`insert into fresh values (1, now())`);
    expect(rowsOf(await readAll(source, from)).length).toBe(1);
    expect(await source.lag?.(from)).toBe(1);
    await admin.query('delete from fresh');
    await source.close();
  }
});

test('a table that cannot be read exactly once is refused, with what to do', async () => {
  await admin.query(`create table bare (note text)`);
  await expect(open('bare')).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(/"bare".*Add a key, or name a cursor_column/) as string,
  });
  await expect(open('bare', { cursor_column: 'at' })).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('"at"') as string });
  await admin.query(`insert into bare values ('x')`);
  expect(await postgresqlSource.sample(configFor('bare'), { log, signal: AbortSignal.timeout(10_000), stream: null, limit: 5 })).toEqual([{ note: 'x' }]);
});

test('a batch holds no more than it may', async () => {
  await admin.query(`create table sized (id int primary key, note text); insert into sized select n, repeat('x', 1000) from generate_series(1, 3000) as n`);
  const source = await open('sized');
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100_000, maxBytes: 200_000 });
  const found = await pieces(reader);
  await source.close();
  expect(rowsOf(found).length).toBe(3000);
  for (const piece of found) expect(piece.rows.length).toBeLessThan(600);
});
