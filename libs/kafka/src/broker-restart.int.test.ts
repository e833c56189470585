/** Needs a broker of its own: the shared one must not be restarted under other tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServers, type Stack } from '@tributary/devstack/stack';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectKafka, type KafkaClient } from './connection.ts';
import { openProducer } from './producer.ts';
import { openReader } from './reader.ts';
import { createTopicIfMissing } from './topics.ts';

let stack: Stack;
let dataDir: string;
let client: KafkaClient;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-kafka-'));
  stack = await startServers(['kafka'], { dataDir, ephemeralPorts: true, external: {} });
  client = await connectKafka({ brokers: [new URL(stack.urls.kafka).host], clientId: 'test', securityProtocol: 'PLAINTEXT' });
});
afterAll(async () => {
  await client.close();
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test('reading and writing go on over a broker that is killed, with nothing lost or doubled', async () => {
  await createTopicIfMissing(client, { topic: 'numbers', partitions: 2 });
  const producer = await openProducer(client, { idempotent: true, transactionalId: 'restart' });
  await producer.init();
  const reader = await openReader(client, {
    topic: 'numbers',
    offsets: new Map([
      [0, 0n],
      [1, 0n],
    ]),
    isolation: 'read_committed',
  });
  const total = 3_000;
  const seen: number[] = [];

  const writing = (async () => {
    for (let from = 0; from < total; from += 100) {
      producer.begin();
      await producer.send(
        'numbers',
        Array.from({ length: 100 }, (_, index) => ({ key: `${from + index}`, value: `${from + index}` })),
      );
      await producer.commit();
    }
  })();
  const reading = (async () => {
    while (seen.length < total) for (const batch of await reader.next()) seen.push(...batch.messages.map((one) => Number(String(one.value))));
  })();
  const moving = Promise.all([writing, reading]);
  // Waited for below; a failure that comes before must not count as unhandled.
  moving.catch(() => undefined);
  await stack.kill('kafka');
  await stack.start('kafka');
  await moving;
  expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, index) => index));
  await reader.close();
  await producer.close();
});
