import { testServers, uniqueName } from '@tributary/devstack/testing';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { openProducer } from '@tributary/kafka/producer';
import { createTopicIfMissing } from '@tributary/kafka/topics';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isComplete, readContent, writeSource, type Expected } from './check.ts';
import { mappedOf, messageOf } from './messages.ts';

const messages = 500;
let client: KafkaClient;
let expected: Expected;

beforeAll(async () => {
  client = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'bench', securityProtocol: 'PLAINTEXT' });
  expected = await writeSource(client, uniqueName('bench_source'), messages);
});
afterAll(() => client.close());

const copyOf = async (ids: readonly number[], change: (row: Record<string, unknown>) => void = () => undefined): Promise<string> => {
  const topic = uniqueName('bench_copy');
  await createTopicIfMissing(client, { topic, partitions: 4 });
  const producer = await openProducer(client, { idempotent: true });
  const records = ids.map((id) => {
    const { key, value } = messageOf(id);
    const row = { ...mappedOf(value) };
    change(row);
    return { key, value: JSON.stringify(row) };
  });
  await producer.send(topic, records);
  await producer.close();
  return topic;
};

const all = Array.from({ length: messages }, (_, id) => id);

test('finds a whole copy whole', async () => {
  const content = await readContent(client, await copyOf(all), expected, true);
  expect(content).toEqual({ messages, duplicates: 0, missing: 0, outOfOrder: 0, wrongFields: [] });
  expect(isComplete(content)).toBe(true);
});

test('finds a message that is missing and one that is there twice', async () => {
  const content = await readContent(client, await copyOf([...all.filter((id) => id !== 17), 40]), expected, true);
  expect(content).toMatchObject({ messages, duplicates: 1, missing: 1, outOfOrder: 1 });
  expect(isComplete(content)).toBe(false);
});

test('names the field that is wrong', async () => {
  const wrong = await copyOf(all, (row) => {
    if (row['id'] === 99) row['country'] = 'XX';
  });
  const content = await readContent(client, wrong, expected, true);
  expect(content.wrongFields).toEqual(['country']);
  expect(isComplete(content)).toBe(false);
});

test('sees only what is committed', async () => {
  const topic = uniqueName('bench_open');
  await createTopicIfMissing(client, { topic, partitions: 4 });
  const producer = await openProducer(client, { idempotent: true, transactionalId: topic });
  await producer.init();
  producer.begin();
  await producer.send(topic, [messageOf(0)]);
  await producer.abort();
  await producer.close();
  expect((await readContent(client, topic, expected, false)).messages).toBe(0);
});
