import { expect, test } from 'vitest';
import { connectKafka } from '@tributary/kafka/connection';
import { openProducer } from '@tributary/kafka/producer';
import { createTopicIfMissing } from '@tributary/kafka/topics';
import { publishEarthquakes } from './sample.ts';
import { testServers } from './testing.ts';

test('publishes every earthquake once, after an interrupted publication and however often it is started', async () => {
  const { kafka, kafkaBrokers } = testServers();
  // A start that was killed between sending and committing.
  const client = await connectKafka({ brokers: [kafkaBrokers], clientId: 'sample-test', securityProtocol: 'PLAINTEXT' });
  await createTopicIfMissing(client, { topic: 'earthquakes', partitions: 4 });
  const killed = await openProducer(client, { idempotent: true, transactionalId: 'tributary-sample' });
  await killed.init();
  killed.begin();
  await killed.send(
    'earthquakes',
    Array.from({ length: 2000 }, (_, index) => ({ key: `k${index}`, value: '{}' })),
  );
  for (let start = 0; start < 3; start += 1) expect(await publishEarthquakes(kafka)).toBe(1707);
  await killed.close();
  await client.close();
});
