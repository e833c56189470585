import { afterAll, beforeAll, expect, test } from 'vitest';
import { testServers, uniqueName } from '@tributary/devstack/testing';
import { connectKafka, type KafkaClient } from './connection.ts';
import { createTopicIfMissing, latestOffsets, offsetsForTimestamp, topicPartitions } from './topics.ts';
import { openProducer } from './producer.ts';

let client: KafkaClient;
beforeAll(async () => {
  client = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'topics-test', securityProtocol: 'PLAINTEXT' });
});
afterAll(() => client.close());

test('several at once create one topic', async () => {
  const topic = uniqueName('raced');
  const created = await Promise.all(Array.from({ length: 5 }, () => createTopicIfMissing(client, { topic, partitions: 3 })));
  expect(created.filter(Boolean).length).toBeLessThanOrEqual(1);
  expect(await topicPartitions(client, topic)).toEqual([0, 1, 2]);
});

test('a topic that was deleted does not hide the others', async () => {
  const [gone, stays] = [uniqueName('gone'), uniqueName('stays')];
  await createTopicIfMissing(client, { topic: gone, partitions: 1 });
  await createTopicIfMissing(client, { topic: stays, partitions: 1 });
  await latestOffsets(client, gone, [0]);
  const admin = client.kafkajs.admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [gone] });
  await admin.disconnect();
  await expect.poll(() => topicPartitions(client, gone).catch(() => 'gone')).toBe('gone');
  expect(await latestOffsets(client, stays, [0])).toEqual(new Map([[0, 0n]]));
});

test('offsets by time find the first record from then on, and the end where there is none', async () => {
  const topic = uniqueName('timed');
  await createTopicIfMissing(client, { topic, partitions: 2 });
  const producer = await openProducer(client, { idempotent: true });
  await producer.send(topic, [
    { key: null, value: 'old', partition: 0, timestamp: 1_000 },
    { key: null, value: 'new', partition: 0, timestamp: 5_000 },
    { key: null, value: 'old', partition: 1, timestamp: 1_000 },
  ]);
  await producer.close();
  expect(await offsetsForTimestamp(client, topic, [0, 1], 2_000)).toEqual(
    new Map([
      [0, 1n],
      [1, 1n],
    ]),
  );
});
