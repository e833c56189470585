/** What the conformance suite does not know of: partitions and slices, records as they are, and workers that die. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { OpenSourceContext, Source } from '@tributary/connector-sdk/source';
import type { OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type Batch, type Position, type RowBatch, type Slot } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { testServers, uniqueName } from '@tributary/devstack/testing';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { fetchGroupOffsets } from '@tributary/kafka/group-offsets';
import { openProducer, type OutRecord } from '@tributary/kafka/producer';
import { openReader } from '@tributary/kafka/reader';
import type { FetchedMessage } from '@tributary/kafka/record-batch-reader';
import { createTopicIfMissing, latestOffsets, topicPartitions } from '@tributary/kafka/topics';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sourceConfig, targetConfig } from './config.ts';
import { kafkaSource } from './source.ts';
import { kafkaTarget } from './target.ts';

let client: KafkaClient;
beforeAll(async () => {
  client = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'test', securityProtocol: 'PLAINTEXT' });
});
afterAll(() => client.close());

const context = { log: { debug: () => undefined, info: () => undefined, warn: () => undefined }, signal: AbortSignal.timeout(120_000) };

const topicWith = async (partitions: number, records: readonly OutRecord[]): Promise<string> => {
  const topic = uniqueName('slots');
  await createTopicIfMissing(client, { topic, partitions });
  await write(topic, records);
  return topic;
};

const write = async (topic: string, records: readonly OutRecord[]): Promise<void> => {
  const producer = await openProducer(client, { idempotent: true });
  await producer.send(topic, records);
  await producer.close();
};

const openSource = (topic: string, more: Partial<OpenSourceContext> = {}, settings: Record<string, unknown> = {}): Promise<Source> =>
  kafkaSource.open(sourceConfig.parse({ topic, bootstrap_servers: testServers().kafkaBrokers, ...settings }), {
    ...context,
    stream: null,
    consumerId: 'c',
    slice: 0,
    slices: 1,
    mode: 'once',
    backfill: true,
    startedAt: new Date(),
    ...more,
  });

const openTarget = (table: string, slot: Slot, epoch: number, more: Partial<OpenTargetContext> = {}): Promise<Target> =>
  kafkaTarget.open(targetConfig.parse({ bootstrap_server: testServers().kafkaBrokers }), {
    ...context,
    table,
    slot,
    epoch,
    columns: null,
    primaryKey: ['id'],
    errorTable: null,
    ...more,
  });

const slotOf = (): Slot => ({ pipelineId: 'p', subscriptionId: randomBytes(12).toString('hex'), slice: 0, slices: 1 });

const batchesOf = async (source: Source, from: Position, format: 'rows' | 'kafka-records' = 'rows'): Promise<Batch[]> => {
  const reader = source.read(from, { format, maxRows: 1_000, maxBytes: 1 << 20 });
  const batches: Batch[] = [];
  for (;;) {
    const batch = await reader.next(context.signal);
    if (batch === 'end') return batches;
    if (batch !== 'idle') batches.push(batch);
  }
};

const rowsOf = (batches: readonly Batch[]): Row[] => batches.flatMap((batch) => (batch as RowBatch).rows);

const committedIn = async (topic: string): Promise<FetchedMessage[]> => {
  const partitions = await topicPartitions(client, topic);
  // A commit is answered once it is decided: its records become visible a moment later, so the end is not the present last stable offset.
  const ends = await latestOffsets(client, topic, partitions, 'read_uncommitted');
  const open = new Set(partitions.filter((partition) => (ends.get(partition) ?? 0n) > 0n));
  const reader = await openReader(client, { topic, offsets: new Map(partitions.map((partition) => [partition, 0n])), isolation: 'read_committed' });
  const found: FetchedMessage[] = [];
  while (open.size > 0) {
    for (const { partition, messages, nextOffset } of await reader.next()) {
      found.push(...messages);
      if (nextOffset >= (ends.get(partition) ?? 0n)) open.delete(partition);
    }
  }
  await reader.close();
  return found;
};

const numbered = (count: number): OutRecord[] => Array.from({ length: count }, (_, id) => ({ key: `${id}`, value: JSON.stringify({ id }) }));

test('each slice reads its own partitions, together all of them', async () => {
  const topic = await topicWith(5, numbered(1_000));
  const seen: unknown[] = [];
  for (const slice of [0, 1, 2]) {
    const source = await openSource(topic, { slice, slices: 3 });
    const first = await source.firstPosition();
    expect(Object.keys(first).map((partition) => Number(partition) % 3)).toEqual(Object.keys(first).map(() => slice));
    seen.push(...rowsOf(await batchesOf(source, first)).map((row) => row['id']));
    await source.close();
  }
  expect(seen.toSorted((a, b) => Number(a) - Number(b))).toEqual(numbered(1_000).map((_, id) => id));
});

test('a slice without partitions ends at once', async () => {
  const source = await openSource(await topicWith(1, numbered(3)), { slice: 1, slices: 2 });
  expect(await source.firstPosition()).toEqual({});
  expect(await batchesOf(source, {})).toEqual([]);
  await source.close();
});

test('what is no JSON object is rejected with its offset, tombstones delete, long numbers keep their digits', async () => {
  const topic = await topicWith(1, [
    { key: 'a', value: '{"id":9007199254740993,"amount":12345678901234567890.12}' },
    { key: 'b', value: '{"half' },
    { key: 'c', value: '[1]' },
    { key: 'd', value: Buffer.from([0xff, 0xfe]) },
    { key: '{"id":7}', value: null },
    { key: 'plain', value: null },
    { key: 'e', value: '{"id":1}', timestamp: 1_700_000_000_000, headers: { trace: 'x' } },
  ]);
  const source = await openSource(topic, {}, { include_metadata: true });
  expect(source.formats).toEqual([]);
  const [batch] = (await batchesOf(source, await source.firstPosition())) as RowBatch[];
  await source.close();
  expect(batch?.rows.map(({ _kafka, ...row }) => row)).toEqual([{ id: 9_007_199_254_740_993n, amount: '12345678901234567890.12' }, { id: 7 }, { id: 1 }]);
  expect(batch?.ops).toEqual(['upsert', 'delete', 'upsert']);
  expect(batch?.rows[2]?.['_kafka']).toEqual({ topic, partition: 0, offset: 6, timestamp: 1_700_000_000_000, key: 'e', headers: { trace: 'x' } });
  expect(batch?.originOf(1)).toEqual({ topic, partition: 0, offset: '4' });
  expect(batch?.unreadable.map(({ code, payload, origin }) => [code, payload, origin['offset']])).toEqual([
    ['ROW_UNREADABLE', '{"half', '1'],
    ['ROW_UNREADABLE', '[1]', '2'],
    ['ROW_UNREADABLE', 'base64://4=', '3'],
    ['ROW_UNREADABLE', 'plain', '5'],
  ]);
  expect(batch?.position).toEqual({ 0: '7' });
});

test('deletes that our own target wrote come back as deletes of the same keys', async () => {
  for (const { primaryKey, keys } of [
    { primaryKey: ['id'], keys: [{ id: '7' }, { id: 'plain, {text' }] },
    { primaryKey: ['region', 'id'], keys: [{ region: 'north', id: 7 }] },
  ]) {
    const table = uniqueName('deletes');
    const target = await openTarget(table, slotOf(), 1, { primaryKey });
    await target.claim();
    await target.deliver({
      data: { kind: 'rows', rows: keys, ops: keys.map(() => 'delete' as const), originOf: () => ({}) },
      rejected: [],
      checkpoint: { position: {}, counts: noCounts },
    });
    await target.close();
    const source = await openSource(table, { keyFields: primaryKey });
    const batches = (await batchesOf(source, await source.firstPosition())) as RowBatch[];
    await source.close();
    expect(batches.flatMap(({ rows }) => rows)).toEqual(expect.arrayContaining(keys));
    expect(batches.flatMap(({ ops }) => ops)).toEqual(keys.map(() => 'delete'));
    expect(batches.flatMap(({ unreadable }) => unreadable)).toEqual([]);
  }
});

test('a value nested too deep is rejected alone, and passes through untouched', async () => {
  const deep = `{"id":1,"j":${'['.repeat(12_000)}${']'.repeat(12_000)}}`;
  const topic = await topicWith(1, [
    { key: null, value: deep },
    { key: null, value: '{"id":2}' },
  ]);
  const source = await openSource(topic);
  const first = await source.firstPosition();
  const [batch] = (await batchesOf(source, first)) as RowBatch[];
  expect(batch?.rows).toEqual([{ id: 2 }]);
  expect(batch?.unreadable.map(({ code, reason }) => [code, reason])).toEqual([['ROW_UNREADABLE', expect.stringContaining('deeper than 1000 levels')]]);
  expect((await batchesOf(source, first, 'kafka-records')).map(({ kind }) => kind)).toEqual(['encoded']);
  await source.close();
});

test("the platform's own topics and Kafka's are neither read nor written nor listed", async () => {
  await (await openTarget(uniqueName('any'), slotOf(), 1)).close();
  for (const topic of ['tributary.pipeline-commands', '_tributary_checkpoints', '__consumer_offsets']) {
    const reserved = { code: 'CONFIG_INVALID', message: expect.stringContaining('reserved') as string };
    expect(sourceConfig.safeParse({ topic, bootstrap_servers: 'k:1' }).error?.issues[0]?.message).toContain(`"${topic}" is reserved`);
    await expect(openSource('any', { stream: topic })).rejects.toMatchObject(reserved);
    await expect(openTarget(topic, slotOf(), 1)).rejects.toMatchObject(reserved);
    await expect(openTarget('any', slotOf(), 1, { errorTable: topic })).rejects.toMatchObject(reserved);
    const listed = await kafkaSource.streams(sourceConfig.parse({ topic: 'any', bootstrap_servers: testServers().kafkaBrokers }), context);
    expect(listed.map(({ name }) => name)).not.toContain(topic);
  }
});

test('records pass through untouched', async () => {
  const records: OutRecord[] = [
    { key: 'k', value: 'not JSON at all', timestamp: '1700000000123', headers: { h: ['1', '2'] } },
    { key: null, value: Buffer.from([0xff]), timestamp: '1700000000124' },
    { key: 'gone', value: null, timestamp: '1700000000125' },
  ];
  const topic = await topicWith(1, records);
  const source = await openSource(topic);
  const [batch] = await batchesOf(source, await source.firstPosition(), 'kafka-records');
  if (batch?.kind !== 'encoded') throw new Error('no records came');
  const table = uniqueName('copy');
  const target = await openTarget(table, slotOf(), 1, { primaryKey: [] });
  await target.claim();
  await target.deliver({
    data: { kind: 'encoded', batches: [batch], count: batch.count },
    rejected: [],
    checkpoint: { position: batch.position, counts: noCounts },
  });
  await target.close();
  await source.close();
  const bare = ({ key, value, timestamp, headers }: FetchedMessage) => ({ key, value, timestamp, headers });
  const byTime = (a: FetchedMessage, b: FetchedMessage): number => a.timestamp - b.timestamp;
  expect((await committedIn(table)).toSorted(byTime).map(bare)).toEqual((await committedIn(topic)).map(bare));
});

test('progress is shown to lag tools, and lag counts what is left', async () => {
  const topic = await topicWith(2, numbered(100));
  const group = uniqueName('group');
  const source = await openSource(topic, {}, { consumer_group_id: group });
  const first = await source.firstPosition();
  expect(await source.lag?.(first)).toBe(100);
  const position = (await batchesOf(source, first)).at(-1)?.position ?? {};
  expect(await source.lag?.(position)).toBe(0);
  await source.committed?.(first);
  await source.committed?.(position);
  await source.close();
  expect(await fetchGroupOffsets(client, group, topic, [0, 1])).toEqual(
    new Map(Object.entries(position).map(([partition, offset]) => [Number(partition), BigInt(offset)])),
  );
});

test('rows without a key value and rows that are too large are refused alone', async () => {
  const table = uniqueName('refusing');
  const errorTable = uniqueName('errors');
  await createTopicIfMissing(client, { topic: table, partitions: 1, config: { 'max.message.bytes': '10000' } });
  const rows: Row[] = [{ id: 1 }, { id: null }, { id: 2, note: 'x'.repeat(20_000) }, { id: 3 }];
  const delivery = {
    data: { kind: 'rows', rows, ops: null, originOf: (index: number) => ({ offset: `${index}` }) },
    rejected: [],
    checkpoint: { position: { 0: '4' }, counts: { ...noCounts, read: 4, mapped: 4, emitted: 4, written: 4 } },
  } as const;
  const slot = slotOf();
  const strict = await openTarget(table, slot, 1);
  await strict.claim();
  await expect(strict.deliver(delivery)).rejects.toMatchObject({ code: 'REJECTS_EXCEEDED' });
  await strict.close();
  expect(await committedIn(table)).toEqual([]);

  const target = await openTarget(table, slot, 2, { errorTable });
  expect((await target.claim()).own).toBeNull();
  const { checkpoint, refused } = await target.deliver(delivery);
  await target.close();
  expect(refused.map(({ code, origin }) => [code, origin['offset']])).toEqual([
    ['ROW_REFUSED', '1'],
    ['ROW_TOO_LARGE', '2'],
  ]);
  expect(checkpoint.counts).toMatchObject({ written: 2, refused: 2 });
  expect((await committedIn(table)).map(({ key }) => String(key))).toEqual(['1', '3']);
  expect(await committedIn(errorTable)).toHaveLength(2);
});

/** Runs the copier until it has committed `commits` more times, then kills it without warning. */
const copyUntil = async (input: string, output: string, slot: Slot, epoch: number, commits: number): Promise<'killed' | 'finished'> => {
  const child: ChildProcess = fork(
    new URL('./copier.fixture.ts', import.meta.url),
    [testServers().kafkaBrokers, input, output, JSON.stringify(slot), String(epoch)],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  );
  let seen = 0;
  child.on('message', () => {
    seen++;
    if (seen >= commits) child.kill('SIGKILL');
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0 ? 'finished' : 'killed';
};

test('a worker killed at any moment is replaced with no row lost or doubled', async () => {
  const total = 20_000;
  const input = await topicWith(3, numbered(total));
  const output = uniqueName('exactly_once');
  const slot = slotOf();
  let kills = 0;
  for (let epoch = 1; epoch < 20; epoch++) {
    if ((await copyUntil(input, output, slot, epoch, kills < 6 ? 2 + epoch : Number.POSITIVE_INFINITY)) === 'finished') break;
    kills++;
  }
  expect(kills).toBe(6);
  const ids = (await committedIn(output)).map(({ value }) => (JSON.parse(String(value)) as { id: number }).id);
  expect(ids).toHaveLength(total);
  expect(new Set(ids).size).toBe(total);
}, 120_000);
