import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type Checkpoint, type OpKind } from '@tributary/contracts/ops';
import type { Column, Row } from '@tributary/contracts/types';
import { targetConfig } from './config.ts';
import { readRows } from './read-rows.ts';
import { sqliteTarget } from './target.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'tributary-sqlite-'));
  connectorSettings.fileRoot = root;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const file = 'own.sqlite';
let tables = 0;
const freshTable = (): string => `t${(tables += 1)}`;

const open = (context: Partial<OpenTargetContext> & { readonly table: string }, config: Record<string, unknown> = {}): Promise<Target> =>
  sqliteTarget.open(targetConfig.parse({ path: file, ...config }), {
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

const sql = (...statements: string[]): void => {
  const connection = new DatabaseSync(path.join(root, file), { timeout: 5000 });
  for (const statement of statements) connection.exec(statement);
  connection.close();
};
const read = (table: string, name = file): Row[] => readRows(path.join(root, name), table);
const byId = (a: Row, b: Row): number => Number(a['id']) - Number(b['id']);

const long = (name: string): Column => ({ name, type: { kind: 'LONG' }, nullable: true });
const string = (name: string): Column => ({ name, type: { kind: 'STRING' }, nullable: true });
const fixture = new URL('writer.fixture.ts', import.meta.url).pathname;

// Without a key doubled rows would show; with one the index is part of what has to be recovered.
test.each(['keyless', 'keyed'])(
  'a writer killed with SIGKILL loses nothing that was committed, and doubles nothing: %s',
  async (key) => {
    let seen = 0;
    for (const [turn, perDelivery] of [3000, 200, 30_000, 50, 10_000].entries()) {
      const writer = spawn(process.execPath, [fixture, root, `killed-${key}.sqlite`, 'killed', String(turn + 1), String(perDelivery), key], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
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
    const name = `killed-${key}.sqlite`;
    const [checkpoint] = read('_tributary_checkpoints', name);
    const offset = Number((JSON.parse(checkpoint?.['position'] as string) as { at: string }).at);
    expect(offset).toBeGreaterThanOrEqual(seen);
    const ids = read('killed', name).map((row) => Number(row['id']));
    expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: offset }, (_, id) => id));
    const connection = new DatabaseSync(path.join(root, name));
    expect(connection.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
    connection.close();
  },
  120_000,
);

test('a file that another process is writing is named after the lock timeout, and taken once it is free', async () => {
  const table = freshTable();
  const first = await open({ table, columns: [long('id')] });
  await first.claim();
  const holder = spawn(
    process.execPath,
    [
      '-e',
      `const { DatabaseSync } = require('node:sqlite'); const d = new DatabaseSync(process.argv[1]); d.exec('BEGIN IMMEDIATE'); console.log('held'); process.stdin.on('data', () => { d.exec('ROLLBACK'); process.exit(); });`,
      path.join(root, file),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const exited = once(holder, 'exit');
  await once(holder.stdout, 'data');
  const impatient = await open({ table: freshTable(), columns: [long('id')] }, { lock_timeout: 0.3 });
  // The file is open already, but the time that this one waits is its own.
  const failure = impatient.claim();
  await expect(failure).rejects.toMatchObject({ code: 'TARGET_FAILED', kind: 'transient' });
  await expect(failure).rejects.toThrow('"own.sqlite" is locked');
  const delays = monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
  const waiting = deliver(first, [{ id: 1 }]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  delays.disable();
  expect(delays.max / 1e6).toBeLessThan(200);
  holder.stdin.write('x');
  await exited;
  await waiting;
  expect(read(table)).toEqual([{ id: 1 }]);
  await first.close();
  await impatient.close();
}, 30_000);

test('a large delivery leaves turns to the event loop', async () => {
  const table = freshTable();
  const target = await open({ table, primaryKey: ['id'], columns: [long('id'), string('note')] });
  await target.claim();
  const rows = Array.from({ length: 200_000 }, (_, id) => ({ id, note: `row ${id} `.repeat(8) }));
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  const started = performance.now();
  await deliver(target, rows);
  const took = performance.now() - started;
  clearInterval(timer);
  await target.close();
  // A turn every few steps; one for the whole would be a loop that stood still.
  expect(turns).toBeGreaterThan(took / 60);
  expect(read(table)).toHaveLength(200_000);
}, 30_000);

test('column names may hold anything', async () => {
  const table = 'with "quotes" and \'odd\' signs; 🚀';
  const names = [
    'Select',
    'with space',
    'with "quote"',
    "it's",
    'with\\backslash',
    'with.dot',
    'ünïcödé',
    '列',
    '🚀',
    '1st',
    'a,b',
    'tab\there',
    '$dollar',
    '?1',
  ];
  const target = await open({ table, columns: names.map(string), primaryKey: ['with "quote"', '🚀'], errorTable: `${table} errors` });
  await target.claim();
  const row = Object.fromEntries(names.map((name, index) => [name, `${index}`]));
  await deliver(target, [row, { ...row, Select: 'again', new: true }, { ...row, '🚀': null }]);
  await target.close();
  expect(read(table)).toEqual([{ ...row, Select: 'again', new: true }]);
  expect(read(`${table} errors`)).toHaveLength(1);
});

test('rows that a constraint or trigger refuses are found among the others', async () => {
  const table = freshTable();
  sql(
    `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, n INT CHECK (n < 1000), u INT UNIQUE)`,
    `CREATE TRIGGER ${table}_no BEFORE INSERT ON ${table} WHEN new.id = 400 BEGIN SELECT RAISE(ABORT, 'never 400'); END`,
  );
  const target = await open({ table, primaryKey: ['id'], columns: [long('id'), long('n'), long('u')], errorTable: `${table}_errors` });
  await target.claim();
  const rows = Array.from({ length: 500 }, (_, id) => ({ id, n: id === 0 || id === 250 || id === 251 || id === 499 ? 5000 : id, u: id === 300 ? 299 : id }));
  const result = await deliver(target, rows);
  await target.close();
  expect(result.refused.map((row) => row.origin['line'])).toEqual([0, 250, 251, 300, 400, 499]);
  expect(result.refused[0]?.reason).toContain('CHECK constraint');
  expect(result.refused[4]?.reason).toContain('never 400');
  expect(result.checkpoint.counts).toMatchObject({ written: 494, refused: 6 });
  expect(read(table)).toHaveLength(494);
  expect(read(`${table}_errors`)).toHaveLength(6);
});

test('values that a column would round, turn into another type or lose are refused', async () => {
  const table = freshTable();
  sql(`CREATE TABLE ${table} (i INTEGER, d NUMERIC, f DOUBLE, note TEXT, raw BLOB, free, made TEXT AS (note || '!'))`);
  const target = await open({ table, errorTable: `${table}_errors` });
  await target.claim();
  const good: Row[] = [
    { i: '-9223372036854775808', d: '-999.990', f: 1e300, note: 'a\0b', raw: new Uint8Array(), free: '007' },
    { i: 1, d: 1.5, f: Number.NEGATIVE_INFINITY, note: 12n, raw: new Uint8Array([0, 255]), free: 9007199254740993n },
  ];
  const bad: Row[] = [
    { i: '007' },
    { i: 2n ** 63n },
    { i: true },
    { d: '1234567890.12345678901' },
    { d: 'much' },
    { f: Number.NaN },
    { f: 9007199254740993n },
    { raw: 'text' },
    { note: new Uint8Array([1]) },
  ];
  const result = await deliver(target, [...good, ...bad]);
  await target.close();
  expect(result.refused.map((row) => row.origin['line'])).toEqual(bad.map((_, index) => index + good.length));
  expect(result.refused[0]?.reason).toBe('Column "i": "007" does not fit SQLite\'s INTEGER exactly.');
  expect(read(table)).toEqual([
    { i: -9223372036854775808n, d: '-999.99', f: 1e300, note: 'a\0b', raw: new Uint8Array(), free: '007', made: expect.anything() },
    { i: 1, d: '1.5', f: Number.NEGATIVE_INFINITY, note: '12', raw: new Uint8Array([0, 255]), free: 9007199254740993n, made: '12!' },
  ]);
});

test('a column of another type, a view and a key that is none are conflicts', async () => {
  const table = freshTable();
  sql(`CREATE TABLE ${table} (id INTEGER, note BLOB)`, `CREATE VIEW ${table}_view AS SELECT * FROM ${table}`);
  const attempt = async (context: Partial<OpenTargetContext> & { readonly table: string }): Promise<unknown> => {
    const target = await open(context);
    try {
      return await target.claim();
    } finally {
      await target.close();
    }
  };
  await expect(attempt({ table, columns: [long('id'), string('note')] })).rejects.toMatchObject({
    code: 'SCHEMA_CONFLICT',
    message: `Column "note" of table "${table}" is BLOB in SQLite, but the mapper declares STRING.`,
  });
  await expect(attempt({ table, columns: [long('id')], primaryKey: ['id'] })).rejects.toThrow(`CREATE UNIQUE INDEX "${table}_key"`);
  await expect(attempt({ table: `${table}_view` })).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT' });
  await expect(attempt({ table: freshTable(), columns: [string('note'), string('NOTE')] })).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT' });
});

test("columns of the table's owner are kept, deletes and upserts of one key end as the last says", async () => {
  const table = freshTable();
  sql(`CREATE TABLE ${table} (id INTEGER NOT NULL, note TEXT, theirs TEXT DEFAULT 'kept')`, `CREATE UNIQUE INDEX ${table}_id ON ${table} (id)`);
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
  sql(`UPDATE ${table} SET theirs = 'changed' WHERE id = 1`);
  await deliver(target, [{ id: 2 }, { id: 3, note: 'c' }, { id: 1, note: 'a3' }, { id: 4, note: 'd' }, { id: 4 }], 8, [
    'delete',
    'upsert',
    'upsert',
    'upsert',
    'delete',
  ]);
  await target.close();
  expect(read(table).sort(byId)).toEqual([
    { id: 1, note: 'a3', theirs: 'changed' },
    { id: 3, note: 'c', theirs: 'kept' },
  ]);
});

test('an undeclared column of numbers takes integers and fractions, each exactly', async () => {
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
      { id: 6, a: 'text' },
    ],
    7,
  );
  await target.close();
  expect(result.refused.map((row) => row.origin['line'])).toEqual([4]);
  expect(read(table).sort(byId)).toEqual([
    { id: 1, a: 1, big: 9007199254740993n, list: null, huge: null },
    { id: 2, a: 2, big: null, list: null, huge: null },
    { id: 3, a: 1.5, big: null, list: null, huge: null },
    { id: 4, a: null, big: 0.5, list: null, huge: null },
    { id: 5, a: null, big: null, list: null, huge: String(2n ** 70n) },
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
          Array.from({ length: 5000 }, (_, index) => ({ id: (turn * 5000 + index) * 3 + slice })),
          turn + 1,
        ),
      ),
    ),
  );
  await Promise.all(targets.map((target) => target.close()));
  expect(new Set(read(table).map((row) => row['id'])).size).toBe(60_000);
});
