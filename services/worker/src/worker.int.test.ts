import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { randomUUID } from 'node:crypto';
import { freshDatabase, testServers, uniqueName } from '@tributary/devstack/testing';
import { openProducer } from '@tributary/kafka/producer';
import { consumeGroup } from '@tributary/kafka/group-consumer';
import { createTopicIfMissing } from '@tributary/kafka/topics';
import { Redis } from 'ioredis';
import pg from 'pg';
import { connectionLogKey, pipelineLogKey } from './logs.ts';
import { openGate } from './gate.fixture.ts';
import { envId, startPlatform, until, type Platform, type WorkerProcess } from './platform.fixture.ts';

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterEach(() => platform.endWorkers());
afterAll(async () => {
  await platform.stop();
});

/** A pipeline from one topic to another. */
const kafkaPipeline = async (partitions = 1): Promise<{ pipelineId: string; subscriptionId: string; from: string; to: string }> => {
  const [pipelineId, subscriptionId] = [randomUUID(), randomUUID()];
  const [from, to] = [uniqueName('from'), uniqueName('to')];
  for (const topic of [from, to]) await createTopicIfMissing(platform.kafka, { topic, partitions });
  const { kafkaBrokers } = testServers();
  platform.connections.set(`source-${pipelineId}`, {
    slug: 'kafka',
    role: 'source',
    config: { topic: from, bootstrap_servers: kafkaBrokers, sasl_password: 'never-shown' },
  });
  platform.connections.set(`target-${pipelineId}`, { slug: 'kafka', role: 'target', config: { bootstrap_server: kafkaBrokers } });
  platform.specs.set(subscriptionId, {
    pipeline_id: pipelineId,
    pipeline_name: 'test',
    env_id: envId,
    version: 1,
    subscription_id: subscriptionId,
    consumer_id: uniqueName('consumer'),
    source_connection_id: `source-${pipelineId}`,
    target_connection_id: `target-${pipelineId}`,
    stream: null,
    target_table: to,
    backfill: true,
    started_at: new Date().toISOString(),
    mapper: null,
    error_table: `${to}_errors`,
  });
  return { pipelineId, subscriptionId, from, to };
};

const produce = async (topic: string, from: number, count: number): Promise<void> => {
  const producer = await openProducer(platform.kafka, { idempotent: true });
  await producer.send(
    topic,
    Array.from({ length: count }, (_, index) => ({ key: `k${from + index}`, value: JSON.stringify({ n: from + index }) })),
  );
  await producer.close();
};

const follow = async (topic: string): Promise<{ numbers: number[]; stop: () => Promise<void> }> => {
  const numbers: number[] = [];
  const consumer = await consumeGroup(platform.kafka, {
    groupId: uniqueName('reader'),
    topics: [topic],
    fromBeginning: true,
    onMessage: async ({ value }) => void numbers.push((JSON.parse(value?.toString() ?? '{}') as { n: number }).n),
  });
  return { numbers, stop: consumer.stop };
};

const onceEach = (numbers: readonly number[], count: number): boolean => numbers.length === count && new Set(numbers).size === count;
const reported = (name: string, pipelineId: string, generation?: number) => () =>
  platform.reports.find(
    (report) => report.name === name && report.data.pipeline_id === pipelineId && (generation === undefined || report.data.generation === generation),
  );
const end = async (worker: WorkerProcess): Promise<number | null> => {
  worker.signal('SIGTERM');
  return worker.ended;
};

test('moves rows, pauses within 5 s, resumes where it stopped, and forgets a deleted pipeline', async () => {
  const { pipelineId, subscriptionId, from, to } = await kafkaPipeline();
  const arrived = await follow(to);
  const worker = await platform.startWorker();
  const subscriptions = [{ subscription_id: subscriptionId, slices: 1 }];
  await produce(from, 0, 1000);
  await platform.start(pipelineId, { generation: 1, subscriptions });
  await until('1000 rows arrive', () => arrived.numbers.length >= 1000);
  await until('it is live', reported('slot.live.v1', pipelineId, 1));
  const progress = await until('progress tells 1000', () =>
    platform.reports.find(
      ({ name, data }) => name === 'slot.progress.v1' && data.pipeline_id === pipelineId && (data['counts'] as { written: number }).written === 1000,
    ),
  );
  expect(progress.data['counts']).toMatchObject({ read: 1000, mapped: 1000, written: 1000, rejected: 0 });

  const asked = performance.now();
  await platform.pause(pipelineId, 2);
  await until('it has stopped', reported('slot.stopped.v1', pipelineId, 2), 10_000);
  expect(performance.now() - asked).toBeLessThan(5000);
  await produce(from, 1000, 500);
  await platform.start(pipelineId, { generation: 3, subscriptions });
  await until('it is live again', reported('slot.live.v1', pipelineId, 3));
  await until('1500 rows arrived', () => arrived.numbers.length >= 1500);
  expect(onceEach(arrived.numbers, 1500)).toBe(true);

  const redis = new Redis(platform.redisUrl);
  const lines = await until('log lines are there', async () => {
    const entries = await redis.xrange(pipelineLogKey(platform.namespace, pipelineId), '-', '+');
    return entries.some(([, fields]) => fields[1]?.includes('Stopped as asked')) ? entries.map(([, fields]) => fields[1] ?? '') : null;
  });
  for (const side of ['source', 'target']) {
    // The log goes on meanwhile: what the pipeline's own had is in the connection's, too.
    const shown = await until(`the log of the ${side} has those lines`, async () => {
      const entries = await redis.xrange(connectionLogKey(platform.namespace, `${side}-${pipelineId}`), '-', '+');
      return entries.length >= lines.length ? entries.map(([, fields]) => fields[1] ?? '') : null;
    });
    expect(shown.slice(0, lines.length)).toEqual(lines);
    expect(JSON.parse(shown[0] ?? '')).toMatchObject({ pipeline: 'test', pipeline_id: pipelineId, level: 'info' });
  }
  redis.disconnect();
  expect(lines.join('\n')).toContain(`Reading Apache Kafka ${from} from the earliest data`);
  expect(lines.join('\n')).not.toContain('never-shown');
  expect(worker.output()).not.toContain('never-shown');

  // The order announced again: nothing is restarted, and the report comes again.
  const lives = () => platform.reports.filter(({ name, data }) => name === 'slot.live.v1' && data.pipeline_id === pipelineId && data.generation === 3);
  const epochs = lives().map(({ data }) => data.epoch);
  await platform.start(pipelineId, { generation: 3, subscriptions });
  await until('it is reported live once more', () => lives().length === epochs.length + 1);
  expect(new Set(lives().map(({ data }) => data.epoch)).size).toBe(1);

  await platform.remove(pipelineId, 4);
  await until('the slot is gone', async () => (await platform.slots.collection.countDocuments({ pipeline_id: pipelineId })) === 0);
  const seqs = platform.reports.filter(({ data }) => data.pipeline_id === pipelineId).map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
  const metrics = await (await fetch(`${worker.url}/metrics`)).text();
  expect(metrics).toMatch(/tributary_rows_written_total\{[^}]*\} 1500/);
  expect(await end(worker)).toBe(0);
  await arrived.stop();
});

test('a killed worker is replaced within 30 s, with no row lost or doubled', async () => {
  const { pipelineId, subscriptionId, from, to } = await kafkaPipeline(4);
  const arrived = await follow(to);
  const workers = [await platform.startWorker(), await platform.startWorker()];
  await platform.start(pipelineId, { generation: 1, subscriptions: [{ subscription_id: subscriptionId, slices: 2 }] });
  let sent = 0;
  let producing = true;
  const producer = (async () => {
    while (producing) {
      await produce(from, sent, 500);
      sent += 500;
    }
  })();
  await until(
    'both slices are live',
    () =>
      new Set(platform.reports.filter(({ name, data }) => name === 'slot.live.v1' && data.pipeline_id === pipelineId).map(({ data }) => data.slot_id)).size ===
      2,
  );
  await until('rows flow', () => arrived.numbers.length > 2000);
  const owners = async () =>
    (await platform.slots.collection.find({ pipeline_id: pipelineId }).toArray()).map(({ lease, epoch }) => ({
      holder: lease?.holder as string | undefined,
      epoch,
    }));
  // Two slots and two workers: one each.
  await until('each worker has one slot', async () => new Set((await owners()).map(({ holder }) => holder)).size === 2);
  const victim = workers[0]!;
  const killed = performance.now();
  victim.signal('SIGKILL');
  const survivor = workers[1]!;
  const holderOf = (worker: WorkerProcess) => /"worker":"([^"]+)"/.exec(worker.output())?.[1];
  await until('the survivor has both', async () => (await owners()).every(({ holder }) => holder === holderOf(survivor)), 30_000);
  await until(
    'the taken over slot is live',
    () => platform.reports.filter(({ name, data }) => name === 'slot.live.v1' && data.pipeline_id === pipelineId).length >= 3,
  );
  expect(performance.now() - killed).toBeLessThan(30_000);
  producing = false;
  await producer;
  await until(`all ${sent} rows arrive`, () => arrived.numbers.length >= sent);
  expect(onceEach(arrived.numbers, sent)).toBe(true);
  await platform.remove(pipelineId, 2);
  await until('it has stopped', async () => (await platform.slots.collection.countDocuments({ pipeline_id: pipelineId })) === 0);
  expect(await end(survivor)).toBe(0);
  await arrived.stop();
}, 120_000);

test('a worker that was frozen past its lease writes nothing when it wakes', async () => {
  const { pipelineId, subscriptionId, from, to } = await kafkaPipeline();
  const arrived = await follow(to);
  const zombie = await platform.startWorker();
  await produce(from, 0, 100);
  await platform.start(pipelineId, { generation: 1, subscriptions: [{ subscription_id: subscriptionId, slices: 1 }] });
  await until('100 rows arrive', () => arrived.numbers.length === 100);
  zombie.signal('SIGSTOP');
  const heir = await platform.startWorker();
  await produce(from, 100, 100);
  await until('the heir goes on', () => arrived.numbers.length === 200, 40_000);
  zombie.signal('SIGCONT');
  await until('the zombie notices', () => zombie.output().includes('The lease of a slot was lost'), 20_000);
  await produce(from, 200, 100);
  await until('300 rows arrive', () => arrived.numbers.length >= 300);
  expect(onceEach(arrived.numbers, 300)).toBe(true);
  expect(zombie.child.exitCode).toBeNull();
  await platform.remove(pipelineId, 2);
  await until('it has stopped', async () => (await platform.slots.collection.countDocuments({ pipeline_id: pipelineId })) === 0);
  await Promise.all([end(zombie), end(heir)]);
  await arrived.stop();
}, 120_000);

test('a second worker takes its share within seconds, and a stopping one hands its slots back', async () => {
  const pipelines = await Promise.all(Array.from({ length: 6 }, () => kafkaPipeline()));
  const first = await platform.startWorker();
  for (const { pipelineId, subscriptionId } of pipelines)
    await platform.start(pipelineId, { generation: 1, subscriptions: [{ subscription_id: subscriptionId, slices: 1 }] });
  const held = async (worker: WorkerProcess) => Number(/tributary_held_slots\{[^}]*\} (\d+)/.exec(await (await fetch(`${worker.url}/metrics`)).text())?.[1]);
  await until('the first runs all six', async () => (await held(first)) === 6);
  const second = await platform.startWorker();
  const began = performance.now();
  await until('three each', async () => (await held(first)) === 3 && (await held(second)) === 3, 20_000);
  expect(performance.now() - began).toBeLessThan(12_000);
  const epochs = async () =>
    (await platform.slots.collection.find({ pipeline_id: { $in: pipelines.map(({ pipelineId }) => pipelineId) } }).toArray()).map(
      ({ epoch }) => epoch as number,
    );
  const settled = await epochs();
  // Nothing flaps: four more turns of each worker's balance move no slot.
  const workers = platform.slots.db.collection('workers');
  const seen = Date.now();
  await until('both have beaten for four turns', async () => (await workers.countDocuments({ beat_at: { $gt: new Date(seen + 4000) } })) === 2);
  expect(await epochs()).toEqual(settled);
  const stopping = performance.now();
  expect(await end(first)).toBe(0);
  await until('the second runs all six', async () => (await held(second)) === 6, 15_000);
  expect(performance.now() - stopping).toBeLessThan(10_000);
  for (const { pipelineId } of pipelines) await platform.remove(pipelineId, 2);
  await until(
    'all have stopped',
    async () => (await platform.slots.collection.countDocuments({ pipeline_id: { $in: pipelines.map(({ pipelineId }) => pipelineId) } })) === 0,
  );
  await end(second);
}, 120_000);

test('a flushed Redis, a missing topic and a broken connection harm no other pipeline', async () => {
  const good = await kafkaPipeline();
  const missing = await kafkaPipeline();
  const wrong = await kafkaPipeline();
  const absent = uniqueName('later');
  platform.connections.set(`source-${missing.pipelineId}`, {
    slug: 'kafka',
    role: 'source',
    config: { topic: absent, bootstrap_servers: testServers().kafkaBrokers },
  });
  platform.connections.set(`source-${wrong.pipelineId}`, { slug: 'kafka', role: 'source', config: { topic: wrong.from, bootstrap_servers: 'no-port-here' } });
  const redis = new Redis(platform.redisUrl);
  const worker = await platform.startWorker();
  const [arrived, late] = [await follow(good.to), await follow(missing.to)];
  for (const { pipelineId, subscriptionId } of [good, missing, wrong]) {
    await platform.start(pipelineId, { generation: 1, subscriptions: [{ subscription_id: subscriptionId, slices: 1 }] });
    await redis.flushdb();
  }
  const noTopic = await until('the missing topic is reported', reported('slot.failed.v1', missing.pipelineId));
  expect(noTopic.data).toMatchObject({ code: 'STREAM_NOT_FOUND' });
  expect(noTopic.data['message']).toContain(absent);
  const noPort = await until('the wrong address is reported', reported('slot.failed.v1', wrong.pipelineId));
  expect(noPort.data).toMatchObject({ code: 'CONFIG_INVALID', retry_at: null });
  await produce(good.from, 0, 10);
  await until('the good one moves rows', () => arrived.numbers.length === 10);
  await redis.flushall();
  await createTopicIfMissing(platform.kafka, { topic: absent, partitions: 1 });
  await produce(absent, 0, 10);
  await until('the pipeline whose topic came goes on by itself', () => late.numbers.length === 10, 45_000);
  platform.connections.set(`source-${wrong.pipelineId}`, {
    slug: 'kafka',
    role: 'source',
    config: { topic: wrong.from, bootstrap_servers: testServers().kafkaBrokers },
  });
  await platform.start(wrong.pipelineId, { generation: 2, subscriptions: [{ subscription_id: wrong.subscriptionId, slices: 1 }] });
  await until('the corrected one is live', reported('slot.live.v1', wrong.pipelineId, 2));
  for (const { pipelineId } of [good, missing, wrong]) await platform.pause(pipelineId, 3);
  for (const { pipelineId } of [good, missing, wrong]) await until('all stop', reported('slot.stopped.v1', pipelineId, 3));
  redis.disconnect();
  await end(worker);
  await Promise.all([arrived.stop(), late.stop()]);
}, 120_000);

test('Kafka to PostgreSQL: a killed worker loses and doubles nothing, and bad rows are in the error table', async () => {
  const { pipelineId, subscriptionId, from } = await kafkaPipeline(2);
  const database = await freshDatabase('postgres');
  const { hostname, port, username, password } = new URL(database.url);
  platform.connections.set(`target-${pipelineId}`, {
    slug: 'postgresql',
    role: 'target',
    config: { host: hostname, port: Number(port), database: database.name, user: username, password },
  });
  platform.specs.set(subscriptionId, {
    ...platform.specs.get(subscriptionId)!,
    target_table: 'numbers',
    error_table: 'numbers_errors',
    mapper: [
      { key: 'n', path: '$.n', cast: 'int', primary_key: true },
      { key: 'doubled', path: '$.n', cast: 'float' },
    ],
  });
  const workers = [await platform.startWorker(), await platform.startWorker()];
  const sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
  await platform.start(pipelineId, { generation: 1, subscriptions: [{ subscription_id: subscriptionId, slices: 2 }] });
  await until(
    'both slices are live',
    () =>
      new Set(platform.reports.filter(({ name, data }) => name === 'slot.live.v1' && data.pipeline_id === pipelineId).map(({ data }) => data.slot_id)).size ===
      2,
  );
  const rows = async () => Number((await sql.query<{ count: string }>('select count(*) from numbers')).rows[0]?.count);
  for (let batch = 0; batch < 10; batch += 1) await produce(from, batch * 1000, 1000);
  await until('rows flow', async () => (await rows()) > 1000);
  workers[0]?.signal('SIGKILL');
  for (let batch = 10; batch < 20; batch += 1) await produce(from, batch * 1000, 1000);
  const producer = await openProducer(platform.kafka, { idempotent: true });
  await producer.send(from, [
    { key: 'bad', value: '{"n": "seven"}' },
    { key: 'bad', value: 'not JSON' },
  ]);
  await producer.close();
  await until('20,000 rows are there', async () => (await rows()) === 20_000, 40_000);
  const rejected = await until('the bad rows are in the error table', async () => {
    const found = await sql.query<{ reason: string }>('select reason from numbers_errors').catch(() => null);
    return found?.rowCount === 2 ? found.rows : null;
  });
  expect(rejected.some(({ reason }) => reason.includes('seven'))).toBe(true);
  const totals = await until('the reported totals agree', () => {
    const latest = new Map<string, Record<string, number>>();
    for (const { name, data } of platform.reports)
      if (name === 'slot.progress.v1' && data.pipeline_id === pipelineId) latest.set(data.slot_id, data['counts'] as Record<string, number>);
    const sum = (field: string) => [...latest.values()].reduce((all, counts) => all + (counts[field] ?? 0), 0);
    return sum('read') === 20_002 ? { mapped: sum('mapped'), rejected: sum('rejected'), written: sum('written') } : null;
  });
  expect(totals).toEqual({ mapped: 20_000, rejected: 2, written: 20_000 });
  expect(workers[1]?.output()).not.toContain(decodeURIComponent(password));
  await platform.remove(pipelineId, 2);
  await until('it has stopped', async () => (await platform.slots.collection.countDocuments({ pipeline_id: pipelineId })) === 0);
  await end(workers[1]!);
  await sql.end();
  await database.drop();
}, 120_000);

test('another layout of slices takes over from the one before', async () => {
  const { pipelineId, subscriptionId, from, to } = await kafkaPipeline(4);
  const arrived = await follow(to);
  const worker = await platform.startWorker();
  await produce(from, 0, 400);
  await platform.start(pipelineId, { generation: 1, subscriptions: [{ subscription_id: subscriptionId, slices: 1 }] });
  await until('400 rows arrive', () => arrived.numbers.length === 400);
  await platform.start(pipelineId, { generation: 2, version: 2, subscriptions: [{ subscription_id: subscriptionId, slices: 4 }] });
  const live = (slices: number, generation: number) =>
    new Set(
      platform.reports
        .filter(({ name, data }) => name === 'slot.live.v1' && data.pipeline_id === pipelineId && data.generation === generation && data['slices'] === slices)
        .map(({ data }) => data.slot_id),
    ).size;
  await until('four slices are live', () => live(4, 2) === 4);
  await produce(from, 400, 400);
  await until('800 rows arrive', () => arrived.numbers.length >= 800);
  await platform.start(pipelineId, { generation: 3, version: 3, subscriptions: [{ subscription_id: subscriptionId, slices: 1 }] });
  await until('one slice is live again', () => live(1, 3) === 1);
  await produce(from, 800, 200);
  await until('1000 rows arrive', () => arrived.numbers.length >= 1000);
  expect(onceEach(arrived.numbers, 1000)).toBe(true);
  await platform.remove(pipelineId, 4);
  await until('all slots are gone', async () => (await platform.slots.collection.countDocuments({ pipeline_id: pipelineId })) === 0);
  await end(worker);
  await arrived.stop();
}, 120_000);

test.each(['away', 'silent'] as const)('a worker stops within 5 s while Redis is %s', async (how) => {
  const { pipelineId, subscriptionId, from, to } = await kafkaPipeline();
  const arrived = await follow(to);
  const gate = await openGate(new URL(platform.redisUrl));
  const worker = await platform.startWorker({ REDIS_URL: gate.url });
  await produce(from, 0, 10);
  await platform.start(pipelineId, { generation: 1, subscriptions: [{ subscription_id: subscriptionId, slices: 1 }] });
  await until('rows arrive', () => arrived.numbers.length === 10);
  if (how === 'away') await gate.close();
  else gate.silence();
  // A slot that waits for the queue: what is under way is held up by Redis.
  const other = await kafkaPipeline();
  await platform.start(other.pipelineId, { generation: 1, subscriptions: [{ subscription_id: other.subscriptionId, slices: 1 }] });
  await until(
    'the other slot is queued',
    async () => (await platform.slots.collection.countDocuments({ pipeline_id: other.pipelineId, state: 'queued' })) === 1,
  );
  const asked = performance.now();
  expect(await end(worker), worker.output().slice(-3000)).toBe(0);
  expect(performance.now() - asked).toBeLessThan(5000);
  expect(worker.output()).not.toContain('Stopping took too long');
  await gate.close();
  for (const id of [pipelineId, other.pipelineId]) await platform.slots.collection.deleteMany({ pipeline_id: id });
  await arrived.stop();
});
