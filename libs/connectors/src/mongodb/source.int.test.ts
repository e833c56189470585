import { Binary, Decimal128, Int32, Long, MaxKey, MinKey, MongoClient, ObjectId, Timestamp, type Collection, type Db, type Filter } from 'mongodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Reader, Source } from '@tributary/connector-sdk/source';
import type { OpKind, Position } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { freshDatabase, uniqueName, type FreshDatabase } from '@tributary/devstack/testing';
import { sourceConfig } from './config.ts';
import { mongodbSource } from './source.ts';

let database: FreshDatabase;
let client: MongoClient;
let db: Db;

beforeAll(async () => {
  database = await freshDatabase('mongodb');
  client = new MongoClient(database.url);
  db = client.db(database.name);
});

afterAll(async () => {
  await client.close();
  await database.drop();
});

const log = { debug: () => {}, info: () => {}, warn: () => {} };

interface Opening {
  readonly mode?: 'once' | 'continuous';
  readonly backfill?: boolean;
  readonly startedAt?: Date;
  readonly reads?: 'snapshot' | 'snapshot_and_changes';
}

const open = (collection: string, { reads = 'snapshot_and_changes', ...opening }: Opening = {}): Promise<Source> =>
  mongodbSource.open(sourceConfig.parse({ connection_string: database.url, database: database.name, collection, mode: reads }), {
    log,
    signal: AbortSignal.timeout(60_000),
    stream: null,
    consumerId: 'test',
    slice: 0,
    slices: 1,
    mode: 'once',
    backfill: true,
    startedAt: new Date(),
    ...opening,
  });

interface Item {
  readonly _id: unknown;
  readonly [field: string]: unknown;
}

const by = (_id: unknown): Filter<Item> => ({ _id }) as Filter<Item>;

const collectionOf = async (about: string): Promise<Collection<Item>> => {
  const name = uniqueName(about);
  await db.createCollection(name);
  return db.collection<Item>(name);
};

interface Change {
  readonly op: OpKind;
  readonly row: Row;
}

interface Piece {
  readonly changes: Change[];
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
    expect(batch.unreadable).toEqual([]);
    found.push({ changes: batch.rows.map((row, index) => ({ op: batch.ops?.[index] ?? 'upsert', row })), position: batch.position });
    count += batch.rows.length;
  }
  return found;
};

const readFrom = async (source: Source, from: Position, maxRows = 1000): Promise<Piece[]> =>
  pieces(source.read(from, { format: 'rows', maxRows, maxBytes: 1 << 20 }));
const changesOf = (found: readonly Piece[]): Change[] => found.flatMap((piece) => piece.changes);

/** What a target that upserts by key would hold. */
const applied = (changes: readonly Change[]): Row[] => {
  const rows = new Map<string, Row>();
  for (const { op, row } of changes) {
    const key = JSON.stringify(row['_id']);
    if (op === 'delete') rows.delete(key);
    else rows.set(key, row);
  }
  return [...rows].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, row]) => row);
};

test('documents with keys of all types come once, in their order, and every checkpoint leads to exactly the rest', async () => {
  const collection = await collectionOf('mixed');
  const ids = [
    new MinKey(),
    null,
    Number.NaN,
    -1,
    1,
    1.25,
    Decimal128.fromString('1.5'),
    Long.fromString('9007199254740993'),
    'text',
    'text 2',
    { b: 1 },
    { b: 1, c: 2 },
    new Binary(Buffer.from('a')),
    new ObjectId(),
    new ObjectId(),
    false,
    true,
    new Date('2024-01-01T00:00:00.001Z'),
    new Timestamp({ t: 1, i: 1 }),
    new MaxKey(),
  ];
  for (const [number, _id] of ids.entries()) await collection.insertOne({ _id, number });
  const source = await open(collection.collectionName);
  const first = await source.firstPosition();
  const whole = await readFrom(source, first, 2);
  const all = changesOf(whole);
  expect(all.map(({ row }) => row['number']).sort((one, other) => Number(one) - Number(other))).toEqual(ids.map((_, number) => number));
  let before = 0;
  for (const piece of [{ changes: [], position: first }, ...whole]) {
    before += piece.changes.length;
    expect(changesOf(await readFrom(source, piece.position, 2))).toEqual(all.slice(before));
  }
  await source.close();
});

test('changes made while the documents are read are told after them, from every checkpoint', async () => {
  const collection = await collectionOf('meanwhile');
  await collection.insertMany(Array.from({ length: 30 }, (_, _id) => ({ _id, version: 0 })));
  const source = await open(collection.collectionName);
  const first = await source.firstPosition();
  // Before the first document is read: all of these are in the documents and in the stream.
  await collection.updateOne(by(3), { $set: { version: 1 } });
  await collection.deleteOne(by(4));
  const reader = source.read(first, { format: 'rows', maxRows: 4, maxBytes: 1 << 20 });
  const whole = await pieces(reader, 10);
  // Behind, within and before what was read.
  await collection.updateOne(by(0), { $set: { version: 2, added: 'x' } });
  await collection.replaceOne(by(20), { replaced: null });
  await collection.deleteOne(by(1));
  await collection.deleteOne(by(29));
  await collection.insertOne({ _id: -5 });
  await collection.insertOne({ _id: 100, version: 0 });
  await collection.deleteOne(by(2));
  await collection.insertOne({ _id: 2, again: true });
  await collection.updateOne(by(25), { $unset: { version: '' } });
  whole.push(...(await pieces(reader)));
  await source.close();
  const expected = (await collection.find().toArray()).sort((one, other) => (JSON.stringify(one._id) < JSON.stringify(other._id) ? -1 : 1));
  expect(applied(changesOf(whole))).toEqual(expected);
  expect(new Set(changesOf(whole).map(({ op }) => op))).toEqual(new Set(['upsert', 'delete']));
  const again = await open(collection.collectionName);
  for (const [index, piece] of [{ changes: [], position: first }, ...whole].entries()) {
    const rest = changesOf(await readFrom(again, piece.position, 4));
    expect(applied([...changesOf(whole.slice(0, index)), ...rest])).toEqual(expected);
  }
  await again.close();
}, 60_000);

test('the change stream goes on from every position with exactly the rest', async () => {
  const collection = await collectionOf('resume');
  const source = await open(collection.collectionName, { backfill: false });
  const first = await source.firstPosition();
  for (let _id = 0; _id < 8; _id += 1) await collection.insertOne({ _id, n: 0 });
  const session = client.startSession();
  await session.withTransaction(async () => {
    await collection.insertOne({ _id: 'in a transaction' }, { session });
    await collection.deleteOne(by(1), { session });
    await collection.insertOne({ _id: 'too' }, { session });
  });
  await session.endSession();
  for (let _id = 2; _id < 8; _id += 2) await collection.replaceOne(by(_id), { n: _id });
  await collection.deleteMany({});
  const whole = await readFrom(source, first, 1);
  const all = changesOf(whole);
  expect(all).toHaveLength(8 + 3 + 3 + 9);
  for (const [index, piece] of whole.entries()) expect(changesOf(await readFrom(source, piece.position, 1000))).toEqual(all.slice(index + 1));
  await source.close();
}, 60_000);

test('a document that was deleted before its update is looked up is told as deleted', async () => {
  const collection = await collectionOf('deleted');
  await collection.insertOne({ _id: 1, n: 0 });
  const source = await open(collection.collectionName, { backfill: false });
  const first = await source.firstPosition();
  await collection.updateOne(by(1), { $set: { n: 1 } });
  await collection.deleteOne(by(1));
  expect(changesOf(await readFrom(source, first))).toEqual([{ op: 'delete', row: { _id: 1 } }]);
  await source.close();
});

test('without a backfill it gives what came since it was asked for, also when it is opened later', async () => {
  const startedAt = new Date();
  const collection = await collectionOf('since');
  await collection.insertOne({ _id: new Int32(1) });
  const source = await open(collection.collectionName, { backfill: false, startedAt });
  expect(changesOf(await readFrom(source, await source.firstPosition()))).toEqual([{ op: 'upsert', row: { _id: 1 } }]);
  await source.close();
});

test('mode snapshot reads the documents once, and its checkpoint is no place in the change stream', async () => {
  const collection = await collectionOf('once');
  await collection.insertMany([{ _id: 1 }, { _id: 2 }]);
  const source = await open(collection.collectionName, { reads: 'snapshot' });
  const whole = await readFrom(source, await source.firstPosition());
  await collection.insertOne({ _id: 0 });
  expect(changesOf(whole)).toHaveLength(2);
  expect(changesOf(await readFrom(source, whole.at(-1)?.position ?? {}))).toEqual([]);
  await source.close();
  const following = await open(collection.collectionName);
  expect(() => following.read(whole.at(-1)?.position ?? {}, { format: 'rows', maxRows: 1, maxBytes: 1 })).toThrow(
    expect.objectContaining({ code: 'POSITION_LOST' }) as Error,
  );
  await following.close();
});

test.for([
  ['one that the server does not know', '{"_data":"8200"}'],
  ['one that is none', '{"_data":"zz"}'],
])('a resume token that cannot be used is said, never passed over: %s', async ([, token]) => {
  const collection = await collectionOf('lost');
  const source = await open(collection.collectionName);
  const first = await source.firstPosition();
  await expect(readFrom(source, { ...first, documents: 'done', token: token ?? '' })).rejects.toMatchObject({ code: 'POSITION_LOST' });
  await source.close();
});

test.for(['dropped', 'renamed'])('a collection that was %s is said after all changes before it, again and again', async (how) => {
  const collection = await collectionOf('gone');
  const source = await open(collection.collectionName);
  const first = await source.firstPosition();
  await collection.insertOne({ _id: 1 });
  if (how === 'dropped') await collection.drop();
  else await collection.rename(uniqueName('renamed'));
  const reader = source.read({ ...first, documents: 'done' }, { format: 'rows', maxRows: 10, maxBytes: 1 << 20 });
  const [piece] = await pieces(reader, 1);
  expect(piece?.changes).toEqual([{ op: 'upsert', row: { _id: 1 } }]);
  await expect(pieces(reader)).rejects.toMatchObject({ code: 'POSITION_LOST', message: expect.stringContaining(how) as string });
  await expect(readFrom(source, piece?.position ?? {})).rejects.toMatchObject({ code: 'POSITION_LOST' });
  await source.close();
});

test('batches keep to their bytes, but for one larger document', async () => {
  const collection = await collectionOf('sizes');
  await collection.insertMany(Array.from({ length: 9 }, (_, _id) => ({ _id, text: 'x'.repeat(_id === 4 ? 100_000 : 1_000) })));
  const source = await open(collection.collectionName);
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 3_000 });
  const sizes = (await pieces(reader)).map(({ changes }) => changes.length);
  await source.close();
  expect(sizes).toEqual([2, 2, 1, 2, 2]);
});

test('a view is refused, and not listed', async () => {
  const collection = await collectionOf('under');
  const view = uniqueName('view');
  await db.createCollection(view, { viewOn: collection.collectionName, pipeline: [] });
  await expect(open(view)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  const streams = await mongodbSource.streams(sourceConfig.parse({ connection_string: database.url, database: database.name }), {
    log,
    signal: AbortSignal.timeout(10_000),
  });
  const names = streams.map(({ name }) => name);
  expect(names).toContain(collection.collectionName);
  expect(names).not.toContain(view);
});

test('a connection string with a password is never quoted', async () => {
  const config = sourceConfig.parse({ connection_string: 'mongodb://user:pa:ss@word/@@', database: 'x' });
  const failure = await mongodbSource.streams(config, { log, signal: AbortSignal.timeout(10_000) }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'CONFIG_INVALID' });
  expect(String(failure)).not.toContain('pa:ss');
});
