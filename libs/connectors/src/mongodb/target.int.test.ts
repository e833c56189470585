import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { Decimal128, Double, Int32, Long, MongoClient, type Collection, type Db, type Document } from 'mongodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeliveryResult, OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type OpKind, type Slot } from '@tributary/contracts/ops';
import type { Column, Row } from '@tributary/contracts/types';
import { freshDatabase, uniqueName, type FreshDatabase } from '@tributary/devstack/testing';
import { targetConfig } from './config.ts';
import { mongodbTarget } from './target.ts';
import type { Writing } from './writer.fixture.ts';

let database: FreshDatabase;
let client: MongoClient;
let db: Db;

beforeAll(async () => {
  database = await freshDatabase('mongodb');
  client = new MongoClient(database.url, { promoteValues: false });
  db = client.db(database.name);
});

afterAll(async () => {
  await client.close();
  await database.drop();
});

const columns: Column[] = [
  { name: 'id', type: { kind: 'LONG' }, nullable: false },
  { name: 'note', type: { kind: 'STRING' }, nullable: true },
];
const freshSlot = (): Slot => ({ pipelineId: 'pipeline', subscriptionId: uniqueName('subscription'), slice: 0, slices: 1 });
const config = () => ({ connection_string: database.url, database: database.name });

const open = (table: string, more: Partial<OpenTargetContext> = {}): Promise<Target> =>
  mongodbTarget.open(targetConfig.parse(config()), {
    log: { debug: () => {}, info: () => {}, warn: () => {} },
    signal: AbortSignal.timeout(60_000),
    table,
    slot: freshSlot(),
    epoch: 1,
    columns,
    primaryKey: ['id'],
    errorTable: null,
    ...more,
  });

const claimed = async (table: string, more: Partial<OpenTargetContext> = {}): Promise<Target> => {
  const target = await open(table, more);
  await target.claim();
  return target;
};

const deliver = (target: Target, rows: Row[], ops: OpKind[] | null = null, at = '1'): Promise<DeliveryResult> =>
  target.deliver({
    data: { kind: 'rows', rows, ops, originOf: (line) => ({ line }) },
    rejected: [],
    checkpoint: { position: { at }, counts: { ...noCounts, read: rows.length, mapped: rows.length, emitted: rows.length, written: rows.length } },
  });

const stored = async (table: string): Promise<Document[]> =>
  (await db.collection(table).find({}, { promoteValues: true }).toArray())
    .map(({ _id, ...document }) => document)
    .sort((one, other) => Number(one['id']) - Number(other['id']));

const checkpoints = (): Collection<{ _id: string; subscription_id: string; commits: number }> => db.collection('_tributary_checkpoints');

const writer = (writing: Omit<Writing, 'config'>): ChildProcess =>
  spawn(process.execPath, [new URL('./writer.fixture.ts', import.meta.url).pathname, JSON.stringify({ ...writing, config: config() })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });

test.for(['keyless', 'keyed'])('writers killed with SIGKILL lose nothing and double nothing: %s', { timeout: 120_000 }, async (name) => {
  const primaryKey = name === 'keyed' ? ['id'] : [];
  const table = uniqueName('killed');
  const slot = freshSlot();
  const wanted = 4_000;
  let kills = 0;
  for (let epoch = 1, isDone = false; !isDone; epoch++) {
    const child = writer({ slot, epoch, table, wanted, perDelivery: 20, primaryKey, alternating: false });
    const ended = once(child, 'exit') as Promise<[number | null]>;
    await Promise.race([once(child.stdout ?? child, 'data'), ended]);
    // After a moment of writing, at another point of a delivery each time; the last of them may finish.
    const killing = kills < 8 ? setTimeout(() => child.kill('SIGKILL'), 20 + 37 * kills) : undefined;
    const [code] = await ended;
    clearTimeout(killing);
    if (code === null) kills++;
    else expect(code).toBe(0);
    isDone = code === 0;
  }
  expect(kills).toBeGreaterThan(2);
  const ids = (await stored(table)).map((document) => Number(document['id']));
  expect(ids).toEqual(Array.from({ length: wanted }, (_, id) => id));
});

test('an owner that stands still in the middle of a delivery is ended by its heir, and writes nothing more', async () => {
  const table = uniqueName('stopped');
  const slot = freshSlot();
  const zombie = writer({ slot, epoch: 1, table, wanted: 60_000, perDelivery: 30_000, primaryKey: ['id'], alternating: true });
  try {
    await once(zombie.stdout ?? zombie, 'data');
    // Long enough to be in its transaction, far too short to commit it.
    await wait(1_500);
    process.kill(zombie.pid ?? 0, 'SIGSTOP');
    const started = performance.now();
    const heir = await open(table, { slot, epoch: 2 });
    expect(await heir.claim()).toEqual({ own: null, others: [] });
    await deliver(heir, [{ id: 1, note: 'by the heir' }]);
    expect(performance.now() - started).toBeLessThan(5_000);
    process.kill(zombie.pid ?? 0, 'SIGCONT');
    const [code] = (await once(zombie, 'exit')) as [number];
    expect(code).toBe(42);
    await heir.close();
    expect(await stored(table)).toEqual([{ id: 1, note: 'by the heir' }]);
  } finally {
    zombie.kill('SIGKILL');
  }
}, 60_000);

test('a commit of unknown outcome that was made after all is not made twice', async () => {
  const table = uniqueName('unknown');
  const slot = freshSlot();
  const target = await claimed(table, { slot, primaryKey: [] });
  await deliver(target, [{ id: 1, note: 'first' }]);
  // What the server looks like when the commit was made and its answer was lost.
  await checkpoints().updateOne({ subscription_id: slot.subscriptionId }, { $inc: { commits: 1 } });
  expect((await deliver(target, [{ id: 2, note: 'is there already' }], null, '2')).checkpoint.position).toEqual({ at: '2' });
  await deliver(target, [{ id: 3, note: 'third' }], null, '3');
  await target.close();
  expect((await stored(table)).map(({ id }) => Number(id))).toEqual([1, 3]);
});

test('claims without a newer owner may be repeated, and the earlier one writes nothing more', async () => {
  const table = uniqueName('repeated');
  const slot = freshSlot();
  const first = await claimed(table, { slot });
  await deliver(first, [{ id: 1, note: 'first' }]);
  const second = await open(table, { slot });
  expect((await second.claim()).own?.position).toEqual({ at: '1' });
  await expect(deliver(first, [{ id: 2, note: 'late' }])).rejects.toMatchObject({ code: 'FENCED' });
  await deliver(second, [{ id: 3, note: 'second' }]);
  await first.close();
  await second.close();
  expect((await stored(table)).map(({ note }) => note as unknown)).toEqual(['first', 'second']);
});

test('an owner of an older layout cannot come back with a position that is behind', async () => {
  const table = uniqueName('layouts');
  const whole = freshSlot();
  const before = await claimed(table, { slot: whole });
  await deliver(before, [{ id: 1 }]);
  await before.close();
  const half = await claimed(table, { slot: { ...whole, slices: 2 } });
  await deliver(half, [{ id: 2 }]);
  await half.close();
  const again = await open(table, { slot: whole, epoch: 2 });
  const { own, others } = await again.claim();
  await again.close();
  expect(own).toBeNull();
  expect(others).toHaveLength(2);
});

test('documents that a validator or a unique index refuses are found singly; an earlier row of the key stands', async () => {
  const table = uniqueName('refused');
  await db.createCollection(table, { validator: { $jsonSchema: { properties: { note: { maxLength: 10 } } } } });
  await db.collection(table).createIndex({ note: 1 }, { unique: true });
  const target = await claimed(table, { errorTable: `${table}_errors` });
  const rows: Row[] = [
    { id: 1, note: 'good' },
    { id: 2, note: 'too long a note' },
    { id: 3, note: 'good' },
    { id: 4, note: 'old' },
    { id: 4, note: 'too long as well' },
    { id: null, note: 'no key' },
    { id: 5, note: 'fine', nested: { a: ['\ud83d'] } },
    { id: 6, note: 'x'.repeat(17 * 1024 * 1024) },
    { id: 7, note: 'last' },
  ];
  const { refused, checkpoint } = await deliver(target, rows);
  await target.close();
  expect(refused.map(({ origin, code }) => [origin['line'], code])).toEqual([
    [1, 'ROW_REFUSED'],
    [2, 'ROW_REFUSED'],
    [4, 'ROW_REFUSED'],
    [5, 'ROW_REFUSED'],
    [6, 'ROW_REFUSED'],
    [7, 'ROW_TOO_LARGE'],
  ]);
  expect(checkpoint.counts).toMatchObject({ written: 3, refused: 6 });
  expect((await stored(table)).map(({ id, note }) => [Number(id), note as unknown])).toEqual([
    [1, 'good'],
    [4, 'old'],
    [7, 'last'],
  ]);
  expect(await stored(`${table}_errors`)).toHaveLength(6);
}, 60_000);

test('ops of one key keep their order, and a row replaces the whole document but for its _id', async () => {
  const table = uniqueName('order');
  await db.collection(table).insertOne({ id: 1, note: 'before', theirs: true });
  const before = await db.collection(table).findOne({ id: 1 });
  const target = await claimed(table);
  await deliver(
    target,
    [{ id: 1, note: 'a' }, { id: 2, note: 'b' }, { id: 2 }, { id: 3 }, { id: 3, note: 'c' }, { id: 1, note: null, $set: 'no operator' }],
    ['upsert', 'upsert', 'delete', 'delete', 'upsert', 'upsert'],
  );
  await target.close();
  expect(await stored(table)).toEqual([
    { id: 1, note: null, $set: 'no operator' },
    { id: 3, note: 'c' },
  ]);
  expect((await db.collection(table).findOne({ id: 1 }))?._id).toEqual(before?._id);
});

test('values lie in the database as numbers and dates of their own types', async () => {
  const table = uniqueName('kinds');
  const target = await claimed(table, {
    columns: [
      ...columns,
      { name: 'count', type: { kind: 'INT' }, nullable: true },
      { name: 'ratio', type: { kind: 'DOUBLE' }, nullable: true },
      { name: 'price', type: { kind: 'DECIMAL', precision: 10, scale: 3 }, nullable: true },
      { name: 'at', type: { kind: 'UTC_DATETIME' }, nullable: true },
    ],
  });
  await deliver(target, [{ id: 9007199254740993n, count: 2, ratio: 3, price: '12.340', at: '2024-02-29T12:34:56.789Z' }]);
  await target.close();
  const [document] = await db.collection(table).find().toArray();
  expect(document).toMatchObject({
    id: Long.fromString('9007199254740993'),
    count: new Int32(2),
    ratio: new Double(3),
    price: Decimal128.fromString('12.340'),
    at: new Date('2024-02-29T12:34:56.789Z'),
  });
});

test("a key of _id is the document's own", async () => {
  const table = uniqueName('ids');
  const target = await claimed(table, { columns: null, primaryKey: ['_id'] });
  await deliver(target, [
    { _id: 'a', n: 1 },
    { _id: 'b', n: 1 },
  ]);
  await deliver(target, [{ _id: 'a', n: 2 }, { _id: 'b' }], ['upsert', 'delete'], '2');
  await target.close();
  expect(await db.collection<{ _id: string }>(table).find({}, { promoteValues: true }).toArray()).toEqual([{ _id: 'a', n: 2 }]);
});

test('documents that share a key, an index that is not unique, and a key that no index takes are conflicts', async () => {
  const twice = uniqueName('twice');
  await db.collection(twice).insertMany([{ id: 1 }, { id: 1 }]);
  const plain = uniqueName('plain');
  await db.collection(plain).createIndex({ id: 1 });
  for (const [table, primaryKey, says] of [
    [twice, ['id'], 'several documents with one key (id)'],
    [plain, ['id'], 'dropIndex({ "id": 1 })'],
    [uniqueName('dotted'), ['a.b'], '"a.b" cannot be a key column'],
  ] as const) {
    const target = await open(table, { primaryKey });
    await expect(target.claim()).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT', message: expect.stringContaining(says) as string });
    await target.close();
  }
});

test('slots that write the same keys at once all get through', async () => {
  const table = uniqueName('shared');
  const subscription = freshSlot();
  const targets = await Promise.all([0, 1, 2].map((slice) => claimed(table, { slot: { ...subscription, slice, slices: 3 } })));
  await Promise.all(
    targets.map(async (target, slice) => {
      for (let turn = 1; turn <= 5; turn++) {
        const { refused } = await deliver(
          target,
          Array.from({ length: 20 }, (_, id) => ({ id, note: `${slice} ${turn}` })),
          null,
          String(turn),
        );
        expect(refused).toEqual([]);
      }
    }),
  );
  await Promise.all(targets.map((target) => target.close()));
  expect(await stored(table)).toHaveLength(20);
}, 60_000);

test('an aborted target gives up with the reason it was given', async () => {
  const abort = new AbortController();
  const target = await claimed(uniqueName('aborted'), { signal: abort.signal });
  const delivery = deliver(
    target,
    Array.from({ length: 30_000 }, (_, id) => ({ id })),
  );
  setTimeout(() => abort.abort(new Error('Given up.')), 200);
  await expect(delivery).rejects.toThrow('Given up.');
  await target.close();
});
