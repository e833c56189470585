import { afterAll, beforeAll, expect, test } from 'vitest';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { runSlotJob } from '@tributary/contracts/jobs';
import { testServers } from '@tributary/devstack/testing';
import { createLogger } from '@tributary/runtime/logger';
import { openQueue, type JobQueue } from './queue.ts';
import { openRedis, refuseEviction, type Redis } from './redis.ts';
import { workJobs, type JobWorker } from './work.ts';

const log = createLogger({ service: 'test', level: 'error' });
const namespace = 'jobs-test';
let redis: Redis;
let queue: JobQueue<{ slot_id: string; epoch: number; trace: string | null }>;
let worker: JobWorker;
const handled: string[] = [];
beforeAll(() => {
  const url = new URL(testServers().redis);
  url.pathname = '/8';
  redis = openRedis(url.href, log);
  queue = openQueue(runSlotJob, { redis, namespace, onError: () => undefined });
  worker = workJobs(runSlotJob, {
    redis,
    namespace,
    paused: true,
    onError: () => undefined,
    handle: async ({ slot_id, epoch }) => void handled.push(`${slot_id}-${epoch}`),
  });
});
afterAll(async () => {
  await worker.close();
  await queue.close();
  await redis.flushdb();
  redis.disconnect();
});

const count = (id: string): number => handled.filter((one) => one === id).length;

test('a job is handed over once, however often it is added while it waits', async () => {
  const slot_id = randomUUID();
  const id = `${slot_id}-1`;
  for (let n = 0; n < 3; n += 1) await queue.add(id, { slot_id, epoch: 1, trace: null });
  expect(await queue.whereabouts(id)).toBe('waiting');
  await worker.resume();
  while ((await queue.whereabouts(id)) !== 'missing') await sleep(20);
  expect(count(id)).toBe(1);
});

test('a paused worker leaves jobs to others, and takes them when it resumes', async () => {
  await worker.resume();
  await worker.pause();
  // One job may still come to a worker that was already waiting for it.
  const ids = Array.from({ length: 3 }, () => randomUUID());
  for (const slot_id of ids) await queue.add(`${slot_id}-1`, { slot_id, epoch: 1, trace: null });
  await sleep(300);
  expect(ids.filter((slot_id) => count(`${slot_id}-1`) === 0).length).toBeGreaterThanOrEqual(2);
  await worker.resume();
  while (ids.some((slot_id) => count(`${slot_id}-1`) === 0)) await sleep(20);
});

test('after a flush a job is missing, and can be added again', async () => {
  await worker.pause();
  const slot_id = randomUUID();
  const id = `${slot_id}-7`;
  await queue.add(`${randomUUID()}-1`, { slot_id: 'other', epoch: 1, trace: null });
  await queue.add(id, { slot_id, epoch: 7, trace: null });
  await redis.flushdb();
  expect(await queue.whereabouts(id)).toBe('missing');
  await queue.add(id, { slot_id, epoch: 7, trace: null });
  await worker.resume();
  while (count(id) === 0) await sleep(20);
});

test('a Redis that may evict is refused', async () => {
  await refuseEviction(redis);
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
  try {
    await expect(refuseEviction(redis)).rejects.toThrow(/maxmemory-policy "allkeys-lru"/);
  } finally {
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
  }
});
