import { afterAll, beforeAll, expect, test } from 'vitest';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineEvent, type Envelope } from '@tributary/contracts/events/envelope';
import { freshDatabase, testServers, uniqueName, type FreshDatabase } from '@tributary/devstack/testing';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { consumeGroup } from '@tributary/kafka/group-consumer';
import { openProducer } from '@tributary/kafka/producer';
import { createHealth } from '@tributary/runtime/health';
import { createLogger } from '@tributary/runtime/logger';
import { currentTrace } from '@tributary/runtime/trace';
import { openStore, type Connection } from '@tributary/store/connection';
import { outboxEvent } from '@tributary/store/outbox';
import { slotsModel } from '@tributary/store/slots';
import { z } from 'zod';
import { consumeEvents, on } from './consume.ts';
import { openPublisher, type Publisher } from './publish.ts';
import { startRelay } from './relay.ts';
import { deadLetterTopic, topicName } from './topics.ts';

const log = createLogger({ service: 'test', level: 'fatal' });
const namespace = 'bus-test';
let kafka: KafkaClient;
let publisher: Publisher;
let database: FreshDatabase;
let store: Connection;
beforeAll(async () => {
  kafka = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'bus-test', securityProtocol: 'PLAINTEXT' });
  publisher = await openPublisher(kafka, namespace);
  database = await freshDatabase('mongodb');
  store = await openStore({ uri: testServers().mongodb, database: database.name });
});
afterAll(async () => {
  await publisher.close();
  await kafka.close();
  await store.close();
  await database.drop();
});

const newEvent = () => defineEvent({ name: 'thing.happened.v1', topic: uniqueName('events'), data: z.object({ n: z.number() }) });
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(20);
};

test('events arrive in order per aggregate, parsed, under the trace they were caused by', async () => {
  const definition = newEvent();
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const seen: { event: Envelope; n: number; trace: string | null }[] = [];
  const consumer = await consumeEvents({
    client: kafka,
    namespace,
    group: uniqueName('g'),
    topic: definition.topic,
    log,
    health: createHealth(),
    handlers: [on(definition, async (event, { n }) => void seen.push({ event, n, trace: currentTrace() }))],
  });
  await publisher.publish(Array.from({ length: 20 }, (_, n) => ({ ...outboxEvent(definition, { aggregateId: 'a', seq: n }, { n }), trace })));
  await until(() => seen.length === 20);
  expect(seen.map(({ n }) => n)).toEqual(Array.from({ length: 20 }, (_, n) => n));
  expect(seen[0]?.trace).toContain('0af7651916cd43dd8448eb211c80319c');
  await consumer.stop();
});

test('what cannot be read goes to the dead-letter topic with the reason, and the rest goes on', async () => {
  const definition = newEvent();
  const seen: number[] = [];
  const consumer = await consumeEvents({
    client: kafka,
    namespace,
    group: uniqueName('g'),
    topic: definition.topic,
    log,
    health: createHealth(),
    handlers: [on(definition, async (_, { n }) => void seen.push(n))],
  });
  const producer = await openProducer(kafka, { idempotent: true });
  const good = outboxEvent(definition, { aggregateId: 'a', seq: 1 }, { n: 1 });
  await producer.send(topicName(namespace, definition.topic), [
    { key: 'a', value: 'no JSON at all' },
    { key: 'a', value: JSON.stringify({ ...good, data: { n: 'one' } }) },
    { key: 'a', value: JSON.stringify({ ...good, name: 'thing.unheard-of.v9' }) },
    { key: 'a', value: JSON.stringify(good) },
  ]);
  await producer.close();
  await until(() => seen.length === 1);
  const dead: { value: string; reason: string }[] = [];
  const reader = await consumeGroup(kafka, {
    groupId: uniqueName('g'),
    topics: [deadLetterTopic(topicName(namespace, definition.topic))],
    fromBeginning: true,
    onMessage: async ({ value, headers }) => void dead.push({ value: String(value), reason: String(headers?.['reason']) }),
  });
  await until(() => dead.length === 3);
  expect(dead[0]?.value).toBe('no JSON at all');
  expect(dead[1]?.reason).toContain('expected number');
  expect(dead[2]?.reason).toContain('thing.unheard-of.v9');
  await reader.stop();
  await consumer.stop();
});

test('an event whose handler fails is handed over again, before any later one of its key', async () => {
  const definition = newEvent();
  const tries: number[] = [];
  const consumer = await consumeEvents({
    client: kafka,
    namespace,
    group: uniqueName('g'),
    topic: definition.topic,
    log,
    health: createHealth(),
    handlers: [
      on(definition, async (_, { n }) => {
        tries.push(n);
        if (tries.length < 3) throw new Error('not yet');
      }),
    ],
  });
  await publisher.publish([0, 1].map((n) => outboxEvent(definition, { aggregateId: 'a', seq: n }, { n })));
  await until(() => tries.length === 4);
  expect(tries).toEqual([0, 0, 0, 1]);
  await consumer.stop();
});

test('the relay brings stored events to Kafka when nudged, and the last ones when it stops', async () => {
  const definition = newEvent();
  const slots = slotsModel(store);
  const seen: number[] = [];
  const consumer = await consumeEvents({
    client: kafka,
    namespace,
    group: uniqueName('g'),
    topic: definition.topic,
    log,
    health: createHealth(),
    handlers: [on(definition, async (_, { n }) => void seen.push(n))],
  });
  const put = async (n: number): Promise<void> => {
    const _id = randomUUID();
    await slots.collection.insertOne({
      _id,
      seq: 1,
      deleted: false,
      outbox: [outboxEvent(definition, { aggregateId: _id, seq: 1 }, { n })],
      outbox_pending: true,
      outbox_claim: null,
    } as never);
  };
  const relay = startRelay({ models: [slots], publisher, log, health: createHealth() });
  await put(1);
  relay.nudge();
  await until(() => seen.length === 1);
  const stopping = relay.stop();
  await put(2);
  await stopping;
  await relay.stop();
  await until(() => seen.length === 2);
  expect(seen).toEqual([1, 2]);
  await consumer.stop();
});

test('installations that share a Kafka hear their own events alone', async () => {
  const definition = newEvent();
  const heard: string[] = [];
  const consumers = await Promise.all(
    ['one', 'two'].map((name) =>
      consumeEvents({
        client: kafka,
        namespace: name,
        group: 'listeners',
        topic: definition.topic,
        log,
        health: createHealth(),
        handlers: [on(definition, async (_, { n }) => void heard.push(`${name} ${n}`))],
      }),
    ),
  );
  for (const [n, name] of ['one', 'two', 'one'].entries()) {
    const own = await openPublisher(kafka, name);
    await own.publish([outboxEvent(definition, { aggregateId: 'a', seq: n }, { n })]);
    await own.close();
  }
  await until(() => heard.length === 3);
  expect(heard.toSorted()).toEqual(['one 0', 'one 2', 'two 1']);
  for (const consumer of consumers) await consumer.stop();
});

test('an event that an earlier version stored under its full topic goes to the same topic', () => {
  expect(topicName('tributary', 'tributary.pipeline-commands')).toBe('tributary.pipeline-commands');
  expect(topicName('other', 'pipeline-commands')).toBe('other.pipeline-commands');
  expect(topicName('tributary', 'slot-reports')).toBe('tributary.slot-reports');
});
