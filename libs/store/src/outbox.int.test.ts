import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { freshDatabase, testServers, type FreshDatabase } from '@tributary/devstack/testing';
import { pipelineDeleted } from '@tributary/contracts/events/pipeline-commands';
import { Schema } from 'mongoose';
import { openStore, type Connection, type Model } from './connection.ts';
import { aggregateFields, aggregateWrite, outboxEvent, relayOutboxes, type Aggregate, type OutboxEvent } from './outbox.ts';

interface ThingDoc extends Aggregate {
  name: string;
}

let database: FreshDatabase;
let store: Connection;
let things: Model<ThingDoc>;
beforeAll(async () => {
  database = await freshDatabase('mongodb');
  store = await openStore({ uri: testServers().mongodb, database: database.name });
  things = store.model<ThingDoc>('thing', new Schema<ThingDoc>({ ...aggregateFields, name: { type: String } }, { collection: 'things', versionKey: false }));
});
afterAll(async () => {
  await store.close();
  await database.drop();
});
beforeEach(async () => {
  await things.collection.deleteMany({});
  await things.create({ _id: 'a', seq: 0, name: 'first' });
});

const event = (seq: number): OutboxEvent => outboxEvent(pipelineDeleted, { aggregateId: 'a', seq }, { pipeline_id: 'a', env_id: 'e', generation: seq });
const write = async (seq: number, set: Record<string, unknown> = {}): Promise<boolean> =>
  (await things.collection.updateOne({ _id: 'a', seq, deleted: false } as never, aggregateWrite(set, [event(seq + 1)]))).matchedCount === 1;
const relayOnce = (publish: (events: readonly OutboxEvent[]) => Promise<void>, owner = 'me') => relayOutboxes(things, { owner, limit: 10 }, publish);

test('a write stores state and event together, and only one of two writers on the same seq wins', async () => {
  const outcomes = await Promise.all([write(0, { name: 'x' }), write(0, { name: 'y' })]);
  expect(outcomes.filter(Boolean)).toHaveLength(1);
  expect(await things.findById('a').lean()).toMatchObject({ seq: 1, outbox_pending: true });
});

test('events are relayed in order and leave the outbox empty', async () => {
  await write(0);
  await write(1);
  const sent: number[] = [];
  expect(await relayOnce(async (events) => void sent.push(...events.map(({ seq }) => seq)))).toBe(1);
  expect(sent).toEqual([1, 2]);
  expect(await things.findById('a').lean()).toMatchObject({ outbox: [], outbox_pending: false, outbox_claim: null });
  expect(await relayOnce(async () => expect.unreachable())).toBe(0);
});

test('what could not be published stays, and the same relay tries it again at once', async () => {
  await write(0);
  await expect(
    relayOnce(async () => {
      throw new Error('Kafka is away');
    }),
  ).rejects.toThrow('away');
  const sent: string[] = [];
  await relayOnce(async (events) => void sent.push(...events.map(({ id }) => id)));
  expect(sent).toHaveLength(1);
});

test('after a crash between publishing and clearing, another relay publishes the same ids again', async () => {
  await write(0);
  const first: string[] = [];
  await relayOnce(async (events) => {
    first.push(...events.map(({ id }) => id));
    throw new Error('killed');
  }, 'crashed').catch(() => undefined);
  expect(await relayOnce(async () => expect.unreachable(), 'heir')).toBe(0);
  await things.collection.updateOne({ _id: 'a' } as never, { $set: { 'outbox_claim.until': new Date(0) } });
  const second: string[] = [];
  await relayOnce(async (events) => void second.push(...events.map(({ id }) => id)), 'heir');
  expect(second).toEqual(first);
});

test('an event stored while others are being published goes with the next round', async () => {
  await write(0);
  const sent: number[] = [];
  await relayOnce(async (events) => {
    sent.push(...events.map(({ seq }) => seq));
    await write(1);
  });
  expect(await things.findById('a').lean()).toMatchObject({ outbox_pending: true, outbox_claim: null });
  await relayOnce(async (events) => void sent.push(...events.map(({ seq }) => seq)));
  expect(sent).toEqual([1, 2]);
});

test('a tombstone goes once its last event is out', async () => {
  await write(0, { deleted: true });
  expect(await write(1)).toBe(false);
  await relayOnce(async () => {
    throw new Error('not yet');
  }).catch(() => undefined);
  expect(await things.collection.countDocuments({})).toBe(1);
  await relayOnce(async () => undefined);
  expect(await things.collection.countDocuments({})).toBe(0);
});

test('two relays at once publish each document once', async () => {
  for (let n = 0; n < 20; n += 1)
    await things.create({ _id: `t${n}`, seq: 1, name: 'n', outbox: [{ ...event(1), aggregate_id: `t${n}` }], outbox_pending: true });
  const sent: string[] = [];
  const publish = async (events: readonly OutboxEvent[]) => void sent.push(...events.map(({ aggregate_id }) => aggregate_id));
  await Promise.all([relayOutboxes(things, { owner: 'one', limit: 50 }, publish), relayOutboxes(things, { owner: 'two', limit: 50 }, publish)]);
  expect(sent.toSorted()).toEqual(Array.from({ length: 20 }, (_, n) => `t${n}`).toSorted());
});
