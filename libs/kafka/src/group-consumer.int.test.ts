import { setTimeout as sleep } from 'node:timers/promises';
import { testServers, uniqueName } from '@tributary/devstack/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectKafka, type KafkaClient } from './connection.ts';
import { consumeGroup } from './group-consumer.ts';
import { fetchGroupOffsets } from './group-offsets.ts';
import { openProducer } from './producer.ts';
import { createTopicIfMissing } from './topics.ts';

let client: KafkaClient;
beforeAll(async () => {
  client = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'test', securityProtocol: 'PLAINTEXT' });
});
afterAll(() => client.close());

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(20);
};

const topicWith = async (values: string[]): Promise<string> => {
  const topic = uniqueName('events');
  await createTopicIfMissing(client, { topic, partitions: 1 });
  const producer = await openProducer(client, { idempotent: true, compression: 'lz4' });
  await producer.send(
    topic,
    values.map((value) => ({ key: 'k', value })),
  );
  await producer.close();
  return topic;
};

test('a message that fails is tried again before the next one is given out, and a restart goes on behind the last', async () => {
  const topic = await topicWith(['1', '2', '3']);
  const groupId = uniqueName('group');
  const seen: string[] = [];
  let failures = 2;
  const first = await consumeGroup(client, {
    groupId,
    topics: [topic],
    fromBeginning: true,
    onMessage: async ({ value }) => {
      if (String(value) === '2' && failures-- > 0) throw new Error('not yet');
      seen.push(String(value));
    },
  });
  await until(() => seen.length === 3);
  expect(seen).toEqual(['1', '2', '3']);
  expect(first.isStuck(5_000)).toBe(false);
  await first.stop();
  expect(await fetchGroupOffsets(client, groupId, topic, [0])).toEqual(new Map([[0, 3n]]));

  const producer = await openProducer(client, { idempotent: true });
  await producer.send(topic, [{ key: 'k', value: '4' }]);
  await producer.close();
  const second = await consumeGroup(client, { groupId, topics: [topic], fromBeginning: true, onMessage: async ({ value }) => void seen.push(String(value)) });
  await until(() => seen.length === 4);
  expect(seen[3]).toBe('4');
  await second.stop();
});

test('stopping waits for the message in hand and gives back one that cannot be handled', async () => {
  const topic = await topicWith(['slow', 'poison', 'after']);
  const groupId = uniqueName('group');
  const seen: string[] = [];
  let started = false;
  const consumer = await consumeGroup(client, {
    groupId,
    topics: [topic],
    fromBeginning: true,
    onMessage: async ({ value }) => {
      if (String(value) === 'poison') throw new Error('never');
      started = true;
      await sleep(500);
      seen.push(String(value));
    },
  });
  await until(() => started);
  await consumer.stop();
  expect(seen).toEqual(['slow']);
  expect(await fetchGroupOffsets(client, groupId, topic, [0])).toEqual(new Map([[0, 1n]]));
});
