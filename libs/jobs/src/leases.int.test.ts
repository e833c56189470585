import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshDatabase, testServers, uniqueName, type FreshDatabase } from '@tributary/devstack/testing';
import { openStoreClock, type StoreClock } from '@tributary/store/clock';
import { openStore, type Connection } from '@tributary/store/connection';
import { readSlot, slotsModel, writeSlot, type Model, type SlotDoc } from '@tributary/store/slots';
import { openLeases, type Leases } from './leases.ts';

let database: FreshDatabase;
let store: Connection;
let slots: Model<SlotDoc>;
let clock: StoreClock;
const opened: Leases[] = [];
beforeAll(async () => {
  database = await freshDatabase('mongodb');
  store = await openStore({ uri: testServers().mongodb, database: database.name });
  slots = slotsModel(store);
  clock = await openStoreClock(store);
});
afterEach(async () => {
  for (const leases of opened.splice(0)) await leases.stop();
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

const newSlot = async (): Promise<string> => {
  const _id = uniqueName('slot');
  await slots.create({
    _id,
    seq: 0,
    pipeline_id: 'p',
    env_id: 'e',
    subscription_id: 's',
    slice: 0,
    slices: 1,
    wanted: true,
    version: 1,
    generation: 1,
    command_seq: 1,
    removed: false,
    state: 'queued',
    epoch: 1,
    claimed_epoch: 0,
    attempt: 0,
  });
  return _id;
};

const worker = (holder: string, ttlMs = 10_000) => {
  const lost: string[] = [];
  const renewed: SlotDoc[] = [];
  const leases = openLeases({
    slots,
    clock,
    holder,
    times: { ttlMs, renewMs: ttlMs, marginMs: ttlMs / 5 },
    watcher: { renewed: (slot) => renewed.push(slot), lost: (slotId, epoch) => lost.push(`${slotId} ${epoch}`) },
    onTrouble: () => undefined,
  });
  opened.push(leases);
  return { leases, lost, renewed };
};

const nextEpoch = (id: string) => writeSlot(slots, id, (slot) => ({ set: { epoch: slot.epoch + 1, lease: null, state: 'queued' } }));

test('of two workers that want the same epoch one gets it, and an epoch is taken once', async () => {
  const id = await newSlot();
  const [a, b] = [worker('a'), worker('b')];
  const taken = await Promise.all([a.leases.take(id, 1), b.leases.take(id, 1)]);
  expect(taken.filter((slot) => slot !== null)).toHaveLength(1);
  const owner = taken[0] === null ? b : a;
  await owner.leases.release(id, 1, () => ({ set: { state: 'idle' } }));
  expect(await a.leases.take(id, 1)).toBeNull();
  expect((await readSlot(slots, id))?.lease).toBeNull();
});

test('a job of an old epoch, or of a slot that is no longer wanted, takes nothing', async () => {
  const id = await newSlot();
  const { leases } = worker('a');
  await nextEpoch(id);
  expect(await leases.take(id, 1)).toBeNull();
  await writeSlot(slots, id, () => ({ set: { wanted: false } }));
  expect(await leases.take(id, 2)).toBeNull();
  expect(leases.held()).toBe(0);
});

test('renewing keeps the lease and tells what became of the slot', async () => {
  const id = await newSlot();
  const { leases, renewed, lost } = worker('a');
  await leases.take(id, 1);
  const before = (await readSlot(slots, id))?.lease?.expires_at.getTime() ?? 0;
  await writeSlot(slots, id, () => ({ set: { wanted: false, generation: 2 } }));
  await sleep(5);
  await leases.renew();
  expect(renewed.at(-1)).toMatchObject({ wanted: false, generation: 2 });
  expect((await readSlot(slots, id))?.lease?.expires_at.getTime()).toBeGreaterThan(before);
  expect(lost).toEqual([]);
});

test('a newer epoch ends the older lease at its next renewal, and the old owner can write nothing', async () => {
  const id = await newSlot();
  const [old, heir] = [worker('old'), worker('heir')];
  await old.leases.take(id, 1);
  await nextEpoch(id);
  expect(await heir.leases.take(id, 2)).not.toBeNull();
  expect(await old.leases.write(id, 1, () => ({ set: { version: 99 } }))).toBeNull();
  await old.leases.renew();
  expect(old.lost).toEqual([`${id} 1`]);
  expect(old.leases.held()).toBe(0);
  expect(await old.leases.release(id, 1, () => ({ set: { state: 'idle' } }))).toBeNull();
  expect(await readSlot(slots, id)).toMatchObject({ version: 1, state: 'running', lease: { holder: 'heir', epoch: 2 } });
});

test('a lease that is not renewed is given up by its owner before it expires', async () => {
  const id = await newSlot();
  const { leases, lost } = worker('a', 1000);
  // Renewal comes only after the margin, as when the store does not answer.
  await leases.take(id, 1);
  const expires = (await readSlot(slots, id))?.lease?.expires_at ?? new Date(0);
  while (lost.length === 0) await sleep(20);
  expect(lost).toEqual([`${id} 1`]);
  expect(clock.now().getTime()).toBeLessThan(expires.getTime() + 260);
});
