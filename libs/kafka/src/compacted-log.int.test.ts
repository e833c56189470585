import { testServers, uniqueName } from '@tributary/devstack/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { partitionOfKey, readLatestValues } from './compacted-log.ts';
import { connectKafka, type KafkaClient } from './connection.ts';
import { openProducer } from './producer.ts';
import { createTopicIfMissing } from './topics.ts';

let client: KafkaClient;
beforeAll(async () => {
  client = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'test', securityProtocol: 'PLAINTEXT' });
});
afterAll(() => client.close());

const logTopic = async (): Promise<string> => {
  const topic = uniqueName('log');
  await createTopicIfMissing(client, { topic, partitions: 4, config: { 'cleanup.policy': 'compact' } });
  return topic;
};

const texts = (values: Map<string, Buffer>): Record<string, string> => Object.fromEntries([...values].map(([key, value]) => [key, value.toString()]));

test('gives the last committed value of each key, without tombstones', async () => {
  const topic = await logTopic();
  const partition = await partitionOfKey(client, topic, 'sub');
  const producer = await openProducer(client, { idempotent: true, transactionalId: uniqueName('tx') });
  await producer.init();
  const put = async (commit: boolean, ...pairs: [string, string | null][]): Promise<void> => {
    producer.begin();
    await producer.send(
      topic,
      pairs.map(([key, value]) => ({ key, value, partition })),
    );
    await (commit ? producer.commit() : producer.abort());
  };
  expect(await readLatestValues(client, { topic, partition, wanted: () => true })).toEqual(new Map());
  await put(true, ['a', '1'], ['b', '1'], ['c', '1'], ['other', '1']);
  await put(true, ['a', '2']);
  await put(false, ['a', '3'], ['b', '3']);
  await put(true, ['c', null]);
  const values = await readLatestValues(client, { topic, partition, wanted: (key) => key !== 'other' });
  expect(texts(values)).toEqual({ a: '2', b: '1' });
  await producer.close();
});

test("a stranger's open transaction is not waited for", async () => {
  const topic = await logTopic();
  const stranger = await openProducer(client, { idempotent: true, transactionalId: uniqueName('tx') });
  await stranger.init();
  stranger.begin();
  await stranger.send(topic, [{ key: 'theirs', value: '1', partition: 0 }]);
  const producer = await openProducer(client, { idempotent: true, transactionalId: uniqueName('tx') });
  await producer.init();
  producer.begin();
  await producer.send(topic, [{ key: 'ours', value: '7', partition: 0 }]);
  await producer.commit();
  const started = Date.now();
  expect(texts(await readLatestValues(client, { topic, partition: 0, wanted: (key) => key === 'ours' }))).toEqual({ ours: '7' });
  expect(Date.now() - started).toBeLessThan(2_000);
  await expect(readLatestValues(client, { topic, partition: 0, wanted: (key) => key === 'theirs', undecidedForMs: 300 })).rejects.toMatchObject({
    code: 'TIMEOUT',
  });
  await stranger.close();
  await producer.close();
});
