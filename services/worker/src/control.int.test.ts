/** Commands and reconciliation on a real store and queue, without running anything. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { randomUUID } from 'node:crypto';
import { pauseRequested, pipelineDeleted, startRequested } from '@tributary/contracts/events/pipeline-commands';
import { runSlotJob, type RunSlotJob } from '@tributary/contracts/jobs';
import { freshDatabase, testServers, type FreshDatabase } from '@tributary/devstack/testing';
import { TributaryError } from '@tributary/errors/error';
import { openLeases } from '@tributary/jobs/leases';
import { openQueue, type JobQueue } from '@tributary/jobs/queue';
import { openRedis, type Redis } from '@tributary/jobs/redis';
import { createLogger } from '@tributary/runtime/logger';
import { openStoreClock, type StoreClock } from '@tributary/store/clock';
import { openStore, type Connection } from '@tributary/store/connection';
import { outboxEvent, type OutboxEvent } from '@tributary/store/outbox';
import { pipelineOrdersModel, type PipelineOrderDoc } from '@tributary/store/pipeline-orders';
import { findSlots, slotsModel, writeSlot, type Model, type SlotDoc } from '@tributary/store/slots';
import { holdRole, leaveRole, rolesModel } from '@tributary/store/workers';
import { commandHandlers } from './commands.ts';
import { jobIdOf, reconcile } from './reconciler.ts';
import { failed, live, nobodyRuns, unknownPipeline } from './slot-reports.ts';

let database: FreshDatabase;
let store: Connection;
let stores: { orders: Model<PipelineOrderDoc>; slots: Model<SlotDoc>; clock: StoreClock };
let redis: Redis;
let queue: JobQueue<RunSlotJob>;
beforeAll(async () => {
  database = await freshDatabase('mongodb');
  store = await openStore({ uri: testServers().mongodb, database: database.name });
  stores = { orders: pipelineOrdersModel(store), slots: slotsModel(store), clock: await openStoreClock(store) };
  const url = new URL(testServers().redis);
  url.pathname = '/9';
  redis = openRedis(url.href, createLogger({ service: 'test', level: 'error' }));
  queue = openQueue(runSlotJob, { redis, namespace: 'control-test', onError: () => undefined });
});
afterAll(async () => {
  await queue.close();
  await redis.flushdb();
  redis.disconnect();
  await store.close();
  await database.drop();
});
let pipeline: string;
let subscription: string;
beforeEach(async () => {
  await stores.slots.collection.deleteMany({});
  await redis.flushdb();
  pipeline = randomUUID();
  subscription = randomUUID();
});

const apply = async (event: OutboxEvent): Promise<void> => {
  const handler = commandHandlers(stores, () => undefined).find(({ definition }) => definition.name === event.name);
  await handler?.handle(event, event.data);
};
const start = (seq: number, slices = 1, generation = seq) =>
  outboxEvent(
    startRequested,
    { aggregateId: pipeline, seq },
    { pipeline_id: pipeline, env_id: 'e', generation, version: seq, subscriptions: [{ subscription_id: subscription, slices }] },
  );
const pause = (seq: number, slices = 1, generation = seq) =>
  outboxEvent(
    pauseRequested,
    { aggregateId: pipeline, seq },
    { pipeline_id: pipeline, env_id: 'e', generation, version: 1, subscriptions: [{ subscription_id: subscription, slices }] },
  );
const remove = (seq: number) => outboxEvent(pipelineDeleted, { aggregateId: pipeline, seq }, { pipeline_id: pipeline, env_id: 'e', generation: seq });
const all = () => findSlots(stores.slots, { pipeline_id: pipeline });
const only = async (): Promise<SlotDoc> => (await all())[0]!;
const outboxOf = async (id: string): Promise<OutboxEvent[]> =>
  ((await stores.slots.collection.findOne({ _id: id } as never))?.['outbox'] ?? []) as OutboxEvent[];
const leasesOf = (holder: string) =>
  openLeases({ slots: stores.slots, clock: stores.clock, holder, watcher: { renewed: () => undefined, lost: () => undefined }, onTrouble: () => undefined });
const expireLease = (id: string) => stores.slots.collection.updateOne({ _id: id } as never, { $set: { 'lease.expires_at': new Date(0) } });

test('a command applied twice, or after a newer one, changes nothing', async () => {
  await apply(start(1, 2));
  expect((await all()).map(({ slice, wanted }) => [slice, wanted])).toEqual([
    [0, true],
    [1, true],
  ]);
  await apply(pause(2, 2));
  const paused = await all();
  await apply(start(1, 2));
  await apply(pause(2, 2));
  expect(await all()).toEqual(paused);
  expect(paused.every(({ wanted, generation }) => !wanted && generation === 2)).toBe(true);
  const reports = await outboxOf(paused[0]!._id);
  expect(reports.map(({ name }) => name)).toEqual(['slot.stopped.v1']);
});

test('a pipeline deleted before its start arrives again stays deleted', async () => {
  await apply(start(1));
  await apply(remove(2));
  expect(await all()).toEqual([]);
  await stores.slots.collection.deleteMany({});
  await apply(start(1));
  expect(await all()).toEqual([]);
});

test('two workers that apply the same command at once make one set of slots', async () => {
  const event = start(1, 8);
  await Promise.all([apply(event), apply(event), apply(event)]);
  expect(await all()).toHaveLength(8);
});

test('slices of another layout are no longer wanted', async () => {
  await apply(start(1, 1));
  await apply(start(2, 2));
  expect(Object.fromEntries((await all()).map(({ _id, wanted }) => [_id, wanted]))).toEqual({
    [`${subscription}-1-0`]: false,
    [`${subscription}-2-0`]: true,
    [`${subscription}-2-1`]: true,
  });
});

test('a running slot that is paused keeps its lease until its worker stops it', async () => {
  await apply(start(1));
  await reconcile(stores, queue);
  const { _id } = await only();
  const leases = leasesOf('w');
  await leases.take(_id, 1);
  await apply(pause(2));
  expect(await only()).toMatchObject({ wanted: false, state: 'running', lease: { holder: 'w' } });
  expect(await outboxOf(_id)).toEqual([]);
  await leases.release(_id, 1, (slot, seq) => nobodyRuns(slot, seq));
  const [stopped] = await outboxOf(_id);
  expect(stopped).toMatchObject({ name: 'slot.stopped.v1', key: pipeline, aggregate_id: _id, data: { generation: 2, epoch: 1 } });
  expect((await only()).seq).toBe(stopped?.seq);
  await leases.stop();
});

test('reconciling twice enqueues once, also from two workers at once', async () => {
  await apply(start(1, 3));
  const enqueued = await Promise.all([reconcile(stores, queue), reconcile(stores, queue)]);
  expect(enqueued[0] + enqueued[1]).toBe(3);
  expect(await reconcile(stores, queue)).toBe(0);
  for (const { _id, epoch, state } of await all()) {
    expect([epoch, state]).toEqual([1, 'queued']);
    expect(await queue.whereabouts(jobIdOf(_id, 1))).toBe('waiting');
  }
});

test('a leased slot is left alone, one whose lease ran out gets the next epoch', async () => {
  await apply(start(1));
  await reconcile(stores, queue);
  const { _id } = await only();
  const leases = leasesOf('w');
  await leases.take(_id, 1);
  expect(await reconcile(stores, queue)).toBe(0);
  await expireLease(_id);
  expect(await reconcile(stores, queue)).toBe(1);
  expect(await only()).toMatchObject({ epoch: 2, state: 'queued', lease: null });
  await leases.stop();
});

test('a job lost with a flushed Redis is enqueued again; one that merely waits is not', async () => {
  await apply(start(1));
  await reconcile(stores, queue);
  const { _id } = await only();
  await writeSlot(stores.slots, _id, () => ({ set: { queued_at: new Date(0) } }));
  expect(await reconcile(stores, queue)).toBe(0);
  await redis.flushdb();
  expect(await reconcile(stores, queue)).toBe(1);
  expect((await only()).epoch).toBe(2);
});

test('a paused slot whose worker died is reported as stopped', async () => {
  await apply(start(1));
  await reconcile(stores, queue);
  const { _id } = await only();
  const leases = leasesOf('w');
  await leases.take(_id, 1);
  await apply(pause(2));
  await expireLease(_id);
  await reconcile(stores, queue);
  expect((await outboxOf(_id)).map(({ name }) => name)).toEqual(['slot.stopped.v1']);
  expect(await only()).toMatchObject({ lease: null, state: 'idle' });
  await leases.stop();
});

test('a failure that may pass is tried again with growing pauses, one of the configuration waits for a new start', async () => {
  await apply(start(1));
  const now = stores.clock.now();
  const fail = (code: 'HOST_UNREACHABLE' | 'CONFIG_INVALID' | 'INTERNAL', attempt: number) => async () => {
    const { _id } = await only();
    await writeSlot(stores.slots, _id, (slot, seq) =>
      failed(slot, seq, { generation: 1, error: new TributaryError(code, 'It failed.'), counts: null, attempt, now }),
    );
    return only();
  };
  const first = await fail('HOST_UNREACHABLE', 0)();
  const later = await fail('HOST_UNREACHABLE', 9)();
  const pauseOf = (slot: SlotDoc) => (slot.retry_at?.getTime() ?? 0) - now.getTime();
  expect(first).toMatchObject({ state: 'failed', attempt: 1 });
  expect(pauseOf(first)).toBeLessThanOrEqual(1000);
  expect(pauseOf(later)).toBeGreaterThanOrEqual(5_000);
  expect(pauseOf(later)).toBeLessThanOrEqual(30_000);
  expect(await reconcile(stores, queue)).toBe(0);
  expect((await fail('INTERNAL', 3)()).state).toBe('failed');
  expect((await fail('INTERNAL', 10)()).state).toBe('waiting');
  expect(await fail('CONFIG_INVALID', 0)()).toMatchObject({ state: 'waiting', retry_at: null, error: { code: 'CONFIG_INVALID' } });
  expect(await reconcile(stores, queue)).toBe(0);
  await apply(start(2));
  expect(await only()).toMatchObject({ state: 'idle', attempt: 0, error: null });
  expect(await reconcile(stores, queue)).toBe(1);
});

test('reports of a run that a newer command has overtaken are not made', async () => {
  await apply(start(1));
  await apply(start(2));
  const slot = await only();
  expect(live(slot, slot.seq + 1, 1)).toBeNull();
  const write = failed(slot, slot.seq + 1, { generation: 1, error: new TributaryError('INTERNAL', 'x'), counts: null, attempt: 0, now: new Date() });
  expect(write.events).toEqual([]);
  expect(write.set.state).toBe('idle');
});

test('one process reconciles at a time; the next takes over when it leaves or falls silent', async () => {
  const roles = rolesModel(store);
  const now = new Date();
  expect(await holdRole(roles, 'test', 'a', now, 6000)).toBe(true);
  expect(await holdRole(roles, 'test', 'b', now, 6000)).toBe(false);
  expect(await holdRole(roles, 'test', 'a', new Date(now.getTime() + 5000), 6000)).toBe(true);
  expect(await holdRole(roles, 'test', 'b', new Date(now.getTime() + 7000), 6000)).toBe(false);
  expect(await holdRole(roles, 'test', 'b', new Date(now.getTime() + 12_000), 6000)).toBe(true);
  await leaveRole(roles, 'test', 'b');
  expect(await holdRole(roles, 'test', 'a', new Date(now.getTime() + 12_100), 6000)).toBe(true);
});

const clearOutbox = (id: string) => stores.slots.collection.updateOne({ _id: id } as never, { $set: { outbox: [] } });
const nextReports = async (id: string): Promise<OutboxEvent[]> => {
  const reports = await outboxOf(id);
  await clearOutbox(id);
  return reports;
};

test('an order announced again changes nothing, and the slot reports how it is', async () => {
  await apply(start(1, 1, 7));
  await reconcile(stores, queue);
  const { _id } = await only();
  const leases = leasesOf('w');
  const slot = await leases.take(_id, 1);
  await apply(start(2, 1, 7));
  expect(await nextReports(_id)).toEqual([]);
  await leases.write(_id, 1, (present, seq) => live(present, seq, 7));
  await clearOutbox(_id);
  await apply(start(3, 1, 7));
  await apply(start(3, 1, 7));
  const again = await nextReports(_id);
  expect(again).toMatchObject([{ name: 'slot.live.v1', data: { generation: 7, epoch: 1 } }]);
  const { seq, command_seq: commandSeq, live: said, ...rest } = await only();
  expect(again[0]?.seq).toBe(seq);
  expect([commandSeq, said]).toEqual([3, { epoch: 1, generation: 7 }]);
  expect(rest).toMatchObject({ generation: slot?.generation, epoch: 1, state: 'running', lease: { holder: 'w' } });
  expect(await reconcile(stores, queue)).toBe(0);
  // Told to go on under another generation, it is not live under that one before its worker says so.
  await apply(start(4, 1, 8));
  await apply(start(5, 1, 8));
  expect(await nextReports(_id)).toEqual([]);

  await leases.release(_id, 1, (present, number) =>
    failed(present, number, {
      generation: 8,
      error: new TributaryError('CONFIG_INVALID', 'No such port.'),
      counts: null,
      attempt: 2,
      now: stores.clock.now(),
    }),
  );
  await clearOutbox(_id);
  await apply(start(6, 1, 8));
  expect(await nextReports(_id)).toMatchObject([{ name: 'slot.failed.v1', data: { code: 'CONFIG_INVALID', message: 'No such port.', retry_at: null } }]);
  expect(await only()).toMatchObject({ state: 'waiting', attempt: 3, error: { code: 'CONFIG_INVALID' } });
  expect(await reconcile(stores, queue)).toBe(0);

  await apply(pause(7));
  await clearOutbox(_id);
  await apply(pause(8, 1, 7));
  expect(await nextReports(_id)).toMatchObject([{ name: 'slot.stopped.v1', data: { generation: 7 } }]);
  await leases.stop();
});

test('slots whose start was lost are made when it is announced again, and are reported as stopped when it was a pause', async () => {
  await apply(pause(5, 2));
  for (const { _id } of await all()) expect(await nextReports(_id)).toMatchObject([{ name: 'slot.stopped.v1', data: { generation: 5 } }]);
  await apply(pause(6, 2, 5));
  for (const { _id } of await all()) expect(await nextReports(_id)).toMatchObject([{ name: 'slot.stopped.v1', data: { generation: 5 } }]);
  expect(await all()).toHaveLength(2);
  expect(await reconcile(stores, queue)).toBe(0);
  await apply(start(7, 2));
  await apply(start(8, 2, 7));
  expect(await reconcile(stores, queue)).toBe(2);
});

test('a pipeline that nobody knows is tried a few times, waits with the error, and is removed in the end', async () => {
  await apply(start(1));
  const { _id } = await only();
  const meet = (minutes: number, attempt: number) =>
    writeSlot(stores.slots, _id, (slot, seq) =>
      failed(slot, seq, {
        generation: 1,
        error: unknownPipeline(`There is no pipeline ${pipeline}.`),
        counts: null,
        attempt,
        now: new Date(stores.clock.now().getTime() + minutes * 60_000),
      }),
    );
  for (let attempt = 0; attempt < 4; attempt += 1) expect((await meet(-11, attempt))?.state).toBe('failed');
  expect(await meet(0, 4)).toMatchObject({ state: 'waiting', epoch: 0, error: { code: 'NOT_FOUND' } });
  await writeSlot(stores.slots, _id, () => ({ set: { unknown_since: stores.clock.now(), epoch: 40 } }));
  await reconcile(stores, queue);
  expect(await all()).toHaveLength(1);
  await clearOutbox(_id);
  await writeSlot(stores.slots, _id, () => ({ set: { unknown_since: new Date(stores.clock.now().getTime() - 11 * 60_000) } }));
  expect(await reconcile(stores, queue)).toBe(0);
  expect(await all()).toEqual([]);
  const last = (await nextReports(_id)).at(-1);
  expect(last).toMatchObject({ name: 'slot.stopped.v1' });
  await stores.slots.collection.deleteMany({});
  await apply(start(2));
  await reconcile(stores, queue);
  const back = await only();
  expect(back.epoch).toBeGreaterThan(40);
  expect(back.seq).toBeGreaterThan(last?.seq ?? Infinity);
});
