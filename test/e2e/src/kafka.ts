/** Topics of a test, written and read beside the platform. */
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { openProducer } from '@tributary/kafka/producer';
import { openReader } from '@tributary/kafka/reader';
import { createTopicIfMissing, earliestOffsets, latestOffsets, topicPartitions } from '@tributary/kafka/topics';

const withClient = async <T>(brokers: string, run: (client: KafkaClient) => Promise<T>): Promise<T> => {
  const client = await connectKafka({ brokers: [brokers], clientId: 'e2e', securityProtocol: 'PLAINTEXT' });
  try {
    return await run(client);
  } finally {
    await client.close();
  }
};

export interface TestKafka {
  createTopic(topic: string, partitions: number): Promise<boolean>;
  produce(topic: string, messages: readonly NewMessage[]): Promise<void>;
  /** Every committed record of the topic, partition by partition; none when the topic is not there. */
  readAll(topic: string): Promise<Message[]>;
}

export interface Message {
  readonly key: string | null;
  readonly value: string;
}

/** Without a value: a delete. */
interface NewMessage {
  readonly key: string | null;
  readonly value: string | null;
}

const produce = (brokers: string, topic: string, messages: readonly NewMessage[]): Promise<void> =>
  withClient(brokers, async (client) => {
    const producer = await openProducer(client, { idempotent: true });
    try {
      await producer.send(topic, messages);
    } finally {
      await producer.close();
    }
  });

const readAll = (brokers: string, topic: string): Promise<Message[]> =>
  withClient(brokers, async (client) => {
    const partitions = await topicPartitions(client, topic).catch(() => []);
    if (partitions.length === 0) return [];
    const [offsets, ends] = await Promise.all([earliestOffsets(client, topic, partitions), latestOffsets(client, topic, partitions)]);
    const reader = await openReader(client, { topic, offsets, isolation: 'read_committed' });
    const reached = new Map(offsets);
    const messages: Message[] = [];
    try {
      while (partitions.some((partition) => (reached.get(partition) ?? 0n) < (ends.get(partition) ?? 0n))) {
        for (const batch of await reader.next()) {
          reached.set(batch.partition, batch.nextOffset);
          for (const message of batch.messages) messages.push({ key: message.key?.toString() ?? null, value: message.value?.toString() ?? '' });
        }
      }
    } finally {
      await reader.close();
    }
    return messages;
  });

/** `brokers`: host:port. */
export const testKafka = (brokers: string): TestKafka => ({
  createTopic: (topic, partitions) => withClient(brokers, (client) => createTopicIfMissing(client, { topic, partitions })),
  produce: (topic, messages) => produce(brokers, topic, messages),
  readAll: (topic) => readAll(brokers, topic),
});
