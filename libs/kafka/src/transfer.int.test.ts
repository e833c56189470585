import { testServers, uniqueName } from '@tributary/devstack/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Compression } from './codecs.ts';
import { connectKafka, type KafkaClient } from './connection.ts';
import { fetchGroupOffsets, commitGroupOffsets } from './group-offsets.ts';
import { partitionForKey } from './partitioner.ts';
import { openProducer, type OutRecord } from './producer.ts';
import { openReader, type FetchedBatch } from './reader.ts';
import { createTopicIfMissing, describeTopic, earliestOffsets, latestOffsets, listTopics, offsetsForTimestamp, topicPartitions } from './topics.ts';

let client: KafkaClient;
beforeAll(async () => {
  client = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'test', securityProtocol: 'PLAINTEXT' });
});
afterAll(() => client.close());

const topicOf = async (partitions: number, config: Record<string, string> = {}): Promise<string> => {
  const topic = uniqueName('transfer');
  await createTopicIfMissing(client, { topic, partitions, config });
  return topic;
};

/** Everything from the beginning to the present end. */
const readAll = async (topic: string, isolation: 'read_committed' | 'read_uncommitted' = 'read_committed'): Promise<FetchedBatch[]> => {
  const partitions = await topicPartitions(client, topic);
  const offsets = await earliestOffsets(client, topic, partitions);
  // A commit is answered once it is decided: its records become visible a moment later, so the end is not the present last stable offset.
  const ends = await latestOffsets(client, topic, partitions, 'read_uncommitted');
  const reader = await openReader(client, { topic, offsets, isolation });
  const batches: FetchedBatch[] = [];
  const at = new Map(offsets);
  while (partitions.some((one) => (at.get(one) ?? 0n) < (ends.get(one) ?? 0n))) {
    for (const batch of await reader.next()) {
      batches.push(batch);
      at.set(batch.partition, batch.nextOffset);
    }
  }
  await reader.close();
  return batches;
};

const valuesIn = (batches: readonly FetchedBatch[]): string[] => batches.flatMap((one) => one.messages.map((message) => String(message.value)));
const numbered = (from: number, to: number): OutRecord[] =>
  Array.from({ length: to - from }, (_, index) => ({ key: `k${from + index}`, value: `v${from + index}` }));

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
  'records arrive once, in order of their key, compressed with %s',
  async (compression: Compression) => {
    const topic = await topicOf(3);
    const producer = await openProducer(client, { idempotent: true, compression });
    const sends: Promise<void>[] = [];
    for (let round = 0; round < 10; round++)
      sends.push(
        producer.send(
          topic,
          Array.from({ length: 500 }, (_, index) => ({ key: `k${index % 50}`, value: `${index % 50}:${round * 500 + index}` })),
        ),
      );
    await Promise.all(sends);
    await producer.close();
    const batches = await readAll(topic);
    expect(batches.flatMap((one) => one.messages)).toHaveLength(5_000);
    const last = new Map<string, number>();
    for (const { partition, messages } of batches) {
      for (const { key, value } of messages) {
        expect(partitionForKey(key as Buffer, 3)).toBe(partition);
        const [name, number] = String(value).split(':') as [string, string];
        expect(Number(number)).toBeGreaterThan(last.get(name) ?? -1);
        last.set(name, Number(number));
      }
    }
  },
);

test('headers, timestamps, nulls and unkeyed records come through', async () => {
  const topic = await topicOf(1);
  const producer = await openProducer(client, { idempotent: false });
  await producer.send(topic, [
    { key: null, value: 'unkeyed', timestamp: 1_700_000_000_123 },
    { key: 'gone', value: null, timestamp: '1700000000456', headers: { trace: 'a', many: ['x', Buffer.from('y')] } },
  ]);
  await producer.close();
  const messages = (await readAll(topic)).flatMap((one) => one.messages);
  expect(messages).toEqual([
    { offset: 0n, key: null, value: Buffer.from('unkeyed'), timestamp: 1_700_000_000_123, headers: undefined },
    {
      offset: 1n,
      key: Buffer.from('gone'),
      value: null,
      timestamp: 1_700_000_000_456,
      headers: { trace: Buffer.from('a'), many: [Buffer.from('x'), Buffer.from('y')] },
    },
  ]);
});

test('more than the topic takes in a batch is split; a record that is too large alone is named', async () => {
  const topic = await topicOf(1, { 'max.message.bytes': '20000' });
  const producer = await openProducer(client, { idempotent: true });
  await producer.send(
    topic,
    Array.from({ length: 300 }, (_, index) => ({ key: 'k', value: `${index}`.padEnd(1_000) })),
  );
  const tooLarge = producer.send(topic, [...numbered(0, 3), { key: 'big', value: 'x'.repeat(20_000) }]);
  await expect(tooLarge).rejects.toMatchObject({ code: 'ROW_TOO_LARGE', details: { index: 3, limit: 20_000 } });
  await producer.send(topic, [{ key: 'k', value: 'after' }]);
  await producer.close();
  const values = valuesIn(await readAll(topic)).map((one) => one.trim());
  expect(values).toEqual([...Array.from({ length: 300 }, (_, index) => `${index}`), 'after']);
});

test('what was aborted is invisible, and the reader passes over it and over the markers', async () => {
  const topic = await topicOf(2);
  const producer = await openProducer(client, { idempotent: true, transactionalId: uniqueName('tx') });
  await producer.init();
  for (let round = 0; round < 6; round++) {
    producer.begin();
    await producer.send(topic, numbered(round * 100, round * 100 + 100));
    if (round % 2 === 0) await producer.commit();
    else await producer.abort();
  }
  producer.begin();
  await producer.commit();
  const batches = await readAll(topic);
  const expected = [0, 2, 4].flatMap((round) => numbered(round * 100, round * 100 + 100).map((one) => String(one.value)));
  expect(valuesIn(batches).toSorted()).toEqual(expected.toSorted());
  expect(valuesIn(await readAll(topic, 'read_uncommitted'))).toHaveLength(600);
  const ends = await latestOffsets(client, topic, [0, 1], 'read_uncommitted');
  for (const partition of [0, 1]) expect(batches.findLast((one) => one.partition === partition)?.nextOffset).toBe(ends.get(partition));
  await producer.close();
});

test('reading on from the middle of an aborted transaction still hides the rest of it', async () => {
  const topic = await topicOf(1);
  const producer = await openProducer(client, { idempotent: true, transactionalId: uniqueName('tx') });
  await producer.init();
  producer.begin();
  for (let round = 0; round < 4; round++) await producer.send(topic, numbered(round * 10, round * 10 + 10));
  await producer.abort();
  producer.begin();
  await producer.send(topic, [{ key: 'k', value: 'kept' }]);
  await producer.commit();
  await producer.close();
  const reader = await openReader(client, { topic, offsets: new Map([[0, 15n]]), isolation: 'read_committed' });
  const batches = await reader.next();
  await reader.close();
  expect(valuesIn(batches)).toEqual(['kept']);
});

test('a newer producer of the same transactional id fences the older and undoes what it left open', async () => {
  const topic = await topicOf(1);
  const transactionalId = uniqueName('tx');
  const older = await openProducer(client, { idempotent: true, transactionalId });
  await older.init();
  older.begin();
  await older.send(topic, [{ key: 'k', value: 'committed' }]);
  await older.commit();
  older.begin();
  await older.send(topic, [{ key: 'k', value: 'left open' }]);

  const newer = await openProducer(client, { idempotent: true, transactionalId });
  await newer.init();
  await expect(older.send(topic, [{ key: 'k', value: 'by a zombie' }])).rejects.toMatchObject({ code: 'FENCED' });
  await expect(older.commit()).rejects.toMatchObject({ code: 'FENCED' });
  newer.begin();
  await newer.send(topic, [{ key: 'k', value: 'by the heir' }]);
  await newer.commit();
  expect(valuesIn(await readAll(topic))).toEqual(['committed', 'by the heir']);
  await older.close();
  await newer.close();
});

test('a fenced producer that only commits learns it, too', async () => {
  const topic = await topicOf(1);
  const transactionalId = uniqueName('tx');
  const older = await openProducer(client, { idempotent: true, transactionalId });
  await older.init();
  older.begin();
  await older.send(topic, [{ key: 'k', value: 'left open' }]);
  const newer = await openProducer(client, { idempotent: true, transactionalId });
  await newer.init();
  await expect(older.commit()).rejects.toMatchObject({ code: 'FENCED' });
  expect(valuesIn(await readAll(topic))).toEqual([]);
  await older.close();
  await newer.close();
});

test('a topic that is not there is named', async () => {
  const topic = uniqueName('missing');
  await expect(openReader(client, { topic, offsets: new Map([[0, 0n]]), isolation: 'read_committed' })).rejects.toMatchObject({
    code: 'STREAM_NOT_FOUND',
    message: expect.stringContaining(topic),
  });
  await expect(describeTopic(client, topic)).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND', message: expect.stringContaining(topic) });
  const producer = await openProducer(client, { idempotent: true });
  await expect(producer.send(topic, [{ key: 'k', value: 'v' }])).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND', message: expect.stringContaining(topic) });
  await producer.close();
});

test('a position that retention removed is reported with what is there', async () => {
  const topic = await topicOf(1);
  const producer = await openProducer(client, { idempotent: true });
  await producer.send(topic, numbered(0, 10));
  await producer.close();
  const reader = await openReader(client, { topic, offsets: new Map([[0, 500n]]), isolation: 'read_committed' });
  await expect(reader.next()).rejects.toMatchObject({ code: 'POSITION_LOST', details: { offset: '500', earliest: '0', latest: '10' } });
  await reader.close();
});

test('waiting for data ends with the signal, and the reader goes on afterwards', async () => {
  const topic = await topicOf(1);
  const reader = await openReader(client, { topic, offsets: new Map([[0, 0n]]), isolation: 'read_committed', maxWaitMs: 5_000 });
  const started = Date.now();
  await expect(reader.next(AbortSignal.timeout(100))).rejects.toMatchObject({ name: 'TimeoutError' });
  expect(Date.now() - started).toBeLessThan(1_000);
  const producer = await openProducer(client, { idempotent: true });
  await producer.send(topic, [{ key: 'k', value: 'late' }]);
  await producer.close();
  let values: string[] = [];
  while (values.length === 0) values = valuesIn(await reader.next());
  expect(values).toEqual(['late']);
  await reader.close();
});

test('topics are created once, listed and found by time', async () => {
  const topic = uniqueName('topics');
  expect(await createTopicIfMissing(client, { topic, partitions: 2, config: { 'cleanup.policy': 'compact' } })).toBe(true);
  expect(await createTopicIfMissing(client, { topic, partitions: 2 })).toBe(false);
  expect(await listTopics(client)).toContainEqual({ name: topic, partitions: 2 });
  expect((await describeTopic(client, topic)).config).toMatchObject({ 'cleanup.policy': 'compact' });
  const producer = await openProducer(client, { idempotent: true });
  await producer.send(
    topic,
    [1000, 2000, 3000].map((timestamp) => ({ key: `${timestamp}`, value: 'v', partition: 0, timestamp })),
  );
  await producer.close();
  expect(await offsetsForTimestamp(client, topic, [0, 1], 1500)).toEqual(
    new Map([
      [0, 1n],
      [1, 0n],
    ]),
  );
  expect(await offsetsForTimestamp(client, topic, [0], 9000)).toEqual(new Map([[0, 3n]]));
  await expect(createTopicIfMissing(client, { topic: 'not a topic' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test('group offsets are committed without joining the group', async () => {
  const topic = await topicOf(3);
  const group = uniqueName('group');
  expect(await fetchGroupOffsets(client, group, topic, [0, 1, 2])).toEqual(new Map());
  await commitGroupOffsets(
    client,
    group,
    topic,
    new Map([
      [0, 12n],
      [2, 9_007_199_254_740_993n],
    ]),
  );
  expect(await fetchGroupOffsets(client, group, topic, [0, 1, 2])).toEqual(
    new Map([
      [0, 12n],
      [2, 9_007_199_254_740_993n],
    ]),
  );
});
