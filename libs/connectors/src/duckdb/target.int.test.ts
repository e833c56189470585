import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type Checkpoint, type OpKind } from '@tributary/contracts/ops';
import type { Column, Row } from '@tributary/contracts/types';
import { openDatabase } from './database.ts';
import { targetConfig } from './config.ts';
import { readRows } from './read-rows.ts';
import { duckdbTarget } from './target.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'tributary-duckdb-'));
  connectorSettings.fileRoot = root;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const file = 'own.duckdb';
let tables = 0;
const freshTable = (): string => `t${(tables += 1)}`;

const open = (context: Partial<OpenTargetContext> & { readonly table: string }): Promise<Target> =>
  duckdbTarget.open(targetConfig.parse({ path: file }), {
    slot: { pipelineId: 'p', subscriptionId: context.table, slice: 0, slices: 1 },
    epoch: 1,
    columns: null,
    primaryKey: [],
    errorTable: null,
    log: { debug: () => {}, info: () => {}, warn: () => {} },
    signal: new AbortController().signal,
    ...context,
  });

const at = (offset: number): Checkpoint => ({
  position: { at: String(offset) },
  counts: { ...noCounts, read: offset, mapped: offset, emitted: offset, written: offset },
});
const deliver = (target: Target, rows: Row[], offset = rows.length, ops: OpKind[] | null = null) =>
  target.deliver({ data: { kind: 'rows', rows, ops, originOf: (index) => ({ line: index }) }, rejected: [], checkpoint: at(offset) });

const sql = async (...statements: string[]): Promise<void> => {
  const database = await openDatabase(path.join(root, file), file);
  await database.exclusive(async (connection) => {
    for (const statement of statements) await connection.run(statement);
  });
  await database.close();
};
const read = (table: string): Promise<Row[]> => readRows(path.join(root, file), file, table);

const long = (name: string): Column => ({ name, type: { kind: 'LONG' }, nullable: true });
const string = (name: string): Column => ({ name, type: { kind: 'STRING' }, nullable: true });

// Without a key doubled rows would show; with one the index is part of what has to be recovered.
test.each(['keyless', 'keyed'])(
  'a writer killed with SIGKILL loses nothing that was committed, and doubles nothing: %s',
  async (key) => {
    let seen = 0;
    for (const [turn, perDelivery] of [3000, 200, 30_000, 50].entries()) {
      const writer = spawn(
        process.execPath,
        [new URL('writer.fixture.ts', import.meta.url).pathname, root, `killed-${key}.duckdb`, 'killed', String(turn + 1), String(perDelivery), key],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const exited = once(writer, 'exit');
      let commits = 0;
      for await (const line of createInterface({ input: writer.stdout })) {
        if (line.startsWith('claimed ')) {
          // The commit in flight when it was killed may be durable though nobody heard of it; less than what was heard would be a loss.
          expect(Number(line.slice(8))).toBeGreaterThanOrEqual(seen);
          continue;
        }
        seen = Number(line);
        commits += 1;
        // Not between commits, but some way into one.
        if (commits === 7) setTimeout(() => writer.kill('SIGKILL'), turn * 4);
      }
      expect((await exited)[1]).toBe('SIGKILL');
    }
    const stored = await readRows(path.join(root, `killed-${key}.duckdb`), `killed-${key}.duckdb`, 'killed');
    const [checkpoint] = await readRows(path.join(root, `killed-${key}.duckdb`), `killed-${key}.duckdb`, '_tributary_checkpoints');
    const offset = Number((JSON.parse(checkpoint?.position as string) as { at: string }).at);
    expect(offset).toBeGreaterThanOrEqual(seen);
    expect(stored.map((row) => Number(row.id)).sort((a, b) => a - b)).toEqual(Array.from({ length: offset }, (_, id) => id));
  },
  120_000,
);

test('column names may hold anything', async () => {
  const table = 'with "quotes" and \'odd\' signs; 🚀';
  const names = [
    'Select',
    'with space',
    'with "quote"',
    "with 'apostrophe'",
    'with\\backslash',
    'with.dot',
    'ünïcödé',
    '列',
    '🚀',
    '1st',
    'a,b',
    'tab\there',
    '$dollar',
    '%s',
    '-',
    '_tributary_i',
  ];
  const target = await open({ table, columns: names.map(string), primaryKey: ['with "quote"', '🚀'], errorTable: `${table} errors` });
  await target.claim();
  const row = Object.fromEntries(names.map((name, index) => [name, `${index}`]));
  await deliver(target, [row, { ...row, Select: 'again', new: true }, { ...row, '🚀': null }]);
  await target.close();
  expect(await read(table)).toEqual([{ ...row, Select: 'again', new: true }]);
  expect(await read(`${table} errors`)).toHaveLength(1);
});

test('a file that another process holds is named, with what to do', async () => {
  const writer = spawn(process.execPath, [new URL('writer.fixture.ts', import.meta.url).pathname, root, 'held.duckdb', 'held', '1', '10'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(writer, 'exit');
  await once(writer.stdout, 'data');
  const database = openDatabase(path.join(root, 'held.duckdb'), 'held.duckdb');
  await expect(database).rejects.toMatchObject({ code: 'TARGET_FAILED' });
  await expect(database).rejects.toThrow(new RegExp(`"held.duckdb" is open in another program \\(process ${writer.pid}\\)`));
  writer.kill('SIGKILL');
  await exited;
  await (await openDatabase(path.join(root, 'held.duckdb'), 'held.duckdb')).close();
}, 30_000);

test('rows that a constraint refuses are found among the others, in whatever order', async () => {
  const table = freshTable();
  await sql(`CREATE TABLE ${table} (id BIGINT PRIMARY KEY, n INTEGER CHECK (n < 1000), u INTEGER UNIQUE)`);
  const target = await open({ table, primaryKey: ['id'], columns: [long('id'), long('n'), long('u')], errorTable: `${table}_errors` });
  await target.claim();
  const rows = Array.from({ length: 500 }, (_, id) => ({ id, n: id === 0 || id === 250 || id === 251 || id === 499 ? 5000 : id, u: id === 300 ? 299 : id }));
  const result = await deliver(target, rows);
  await target.close();
  expect(result.refused.map((row) => row.origin.line)).toEqual([0, 250, 251, 300, 499]);
  expect(result.refused[0]?.reason).toContain('CHECK constraint');
  expect(result.checkpoint.counts).toMatchObject({ written: 495, refused: 5 });
  expect(await read(table)).toHaveLength(495);
  expect(await read(`${table}_errors`)).toHaveLength(5);
});

test('values that a column would round, cut or overflow are refused', async () => {
  const table = freshTable();
  await sql(`CREATE TABLE ${table} (i SMALLINT, d DECIMAL(5,2), f DOUBLE, t TIME, "at" TIMESTAMP, z TIMESTAMPTZ, day DATE, n TIMESTAMP_NS, who UUID)`);
  const target = await open({ table, errorTable: `${table}_errors` });
  await target.claim();
  const good: Row[] = [
    {
      i: '-32768',
      d: '-999.99',
      f: '1e3',
      t: '23:59:59.999999',
      at: '2024-02-29T12:00',
      z: '2024-01-01T01:30:00.000001+01:30',
      day: '2024-02-29',
      n: '2024-01-01T00:00:00.123456789',
      who: '6BA7B810-9dad-11d1-80b4-00c04fd430c8',
    },
    { d: 1.5, f: 'NaN', at: '2024-02-29', z: '1969-12-31T23:59:59Z' },
  ];
  const bad: Row[] = [
    { i: 32768 },
    { i: 1.5 },
    { d: '1.999' },
    { d: '1000' },
    { f: 9007199254740993n },
    { f: 'fast' },
    { t: '24:00:00' },
    { at: '2024-02-30T00:00:00' },
    { at: '2024-01-01T00:00:00.0000001' },
    { at: '2024-01-01T00:00:00Z' },
    { z: '2024-01-01T00:00:00' },
    { day: '2023-02-29' },
    { who: 'me' },
    { i: { a: 1 } },
  ];
  const result = await deliver(target, [...good, ...bad]);
  await target.close();
  expect(result.refused.map((row) => row.origin.line)).toEqual(bad.map((_, index) => index + good.length));
  expect(result.refused[2]?.reason).toBe('Column "d": "1.999" does not fit DuckDB\'s DECIMAL(5,2) exactly.');
  const stored = await read(table);
  expect(stored[0]).toMatchObject({
    i: -32768,
    d: '-999.99',
    f: 1000,
    t: '23:59:59.999999',
    at: '2024-02-29T12:00:00',
    z: '2024-01-01T00:00:00.000001Z',
    day: '2024-02-29',
    who: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
  });
  expect(stored).toHaveLength(2);
});

test('a column of another type is a conflict that names table, column and types', async () => {
  const table = freshTable();
  await sql(`CREATE TABLE ${table} (id BIGINT, note BLOB)`);
  const target = await open({ table, columns: [long('id'), string('note')] });
  await expect(target.claim()).rejects.toMatchObject({
    code: 'SCHEMA_CONFLICT',
    message: `Column "note" of table "${table}" is BLOB in DuckDB, but the mapper declares STRING.`,
  });
  await target.close();
});

test('names that differ in case only are a conflict', async () => {
  const table = freshTable();
  const target = await open({ table, columns: [string('note'), string('NOTE')] });
  await expect(target.claim()).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT' });
  await target.close();
});

test('a table without a constraint on its key is merged by it, deletes too', async () => {
  const table = freshTable();
  await sql(`CREATE TABLE ${table} (id BIGINT, note VARCHAR, theirs VARCHAR DEFAULT 'kept')`);
  const target = await open({ table, primaryKey: ['id'], columns: [long('id'), string('note')] });
  await target.claim();
  await deliver(
    target,
    [
      { id: 1, note: 'a' },
      { id: 2, note: 'b' },
      { id: 1, note: 'a2' },
    ],
    3,
  );
  await sql(`UPDATE ${table} SET theirs = 'changed' WHERE id = 1`);
  await deliver(target, [{ id: 2 }, { id: 3, note: 'c' }, { id: 1, note: 'a3' }], 6, ['delete', 'upsert', 'upsert']);
  await target.close();
  expect((await read(table)).sort((a, b) => Number(a.id) - Number(b.id))).toEqual([
    { id: 1, note: 'a3', theirs: 'changed' },
    { id: 3, note: 'c', theirs: 'kept' },
  ]);
});

test('undeclared integers widen to doubles while that changes none, and whole rows replace whole rows', async () => {
  const table = freshTable();
  const target = await open({ table, primaryKey: ['id'], errorTable: `${table}_errors` });
  await target.claim();
  await deliver(
    target,
    [
      { id: 1, a: 1, big: 9007199254740993n },
      { id: 2, a: null, list: [1, { x: 9007199254740993n }] },
    ],
    2,
  );
  const result = await deliver(
    target,
    [
      { id: 3, a: 1.5 },
      { id: 2, a: 2 },
      { id: 4, big: 0.5 },
      { id: 5, huge: 2n ** 70n },
    ],
    6,
  );
  await target.close();
  expect(result.refused.map((row) => row.origin.line)).toEqual([2]);
  expect((await read(table)).sort((a, b) => Number(a.id) - Number(b.id))).toEqual([
    { id: 1, a: 1, big: 9007199254740993n, list: null, huge: null },
    { id: 2, a: 2, big: null, list: null, huge: null },
    { id: 3, a: 1.5, big: null, list: null, huge: null },
    { id: 5, a: null, big: null, list: null, huge: 2n ** 70n },
  ]);
});

test('slots of one file take turns', async () => {
  const table = freshTable();
  const slots = [0, 1, 2].map((slice) => ({ pipelineId: 'p', subscriptionId: table, slice, slices: 3 }));
  const targets = await Promise.all(slots.map((slot) => open({ table, slot, columns: [long('id')], primaryKey: ['id'] })));
  await Promise.all(targets.map((target) => target.claim()));
  await Promise.all(
    targets.flatMap((target, slice) =>
      [0, 1, 2, 3].map((turn) =>
        deliver(
          target,
          Array.from({ length: 100 }, (_, index) => ({ id: (turn * 100 + index) * 3 + slice })),
          turn + 1,
        ),
      ),
    ),
  );
  await Promise.all(targets.map((target) => target.close()));
  expect(new Set((await read(table)).map((row) => row.id)).size).toBe(1200);
});
