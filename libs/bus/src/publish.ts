/** Publishes events to Kafka, keyed by aggregate, acknowledged by all replicas. */
import { messageOf } from '@tributary/errors/error';
import { openProducer, type Producer } from '@tributary/kafka/producer';
import type { KafkaClient } from '@tributary/kafka/connection';
import type { OutboxEvent } from '@tributary/store/outbox';
import { ensureTopic, topicName } from './topics.ts';

export interface Publisher {
  /** Settles once all are durable; events of one topic keep their order. Repeating it after a failure is the caller's part. */
  publish(events: readonly OutboxEvent[]): Promise<void>;
  close(): Promise<void>;
}

export const openPublisher = async (client: KafkaClient, namespace: string): Promise<Publisher> => {
  let producer: Producer | null = await openProducer(client, { idempotent: true });
  const ready = new Set<string>();
  return {
    publish: async (events) => {
      for (const [topic, sameTopic] of Map.groupBy(events, (event) => topicName(namespace, event.topic))) {
        if (!ready.has(topic)) await ensureTopic(client, topic);
        ready.add(topic);
        producer ??= await openProducer(client, { idempotent: true });
        try {
          await producer.send(
            topic,
            sameTopic.map(({ topic: _topic, key, ...envelope }) => ({
              key,
              value: JSON.stringify(envelope),
              ...(envelope.trace === null ? {} : { headers: { traceparent: envelope.trace } }),
            })),
          );
        } catch (error) {
          // A producer whose batch has an unknown outcome takes nothing more; the next call begins with a new one.
          const broken = producer;
          producer = null;
          ready.delete(topic);
          client.log.debug('Events could not be published', { topic, reason: messageOf(error) });
          await broken.close();
          throw error;
        }
      }
    },
    close: async () => producer?.close(),
  };
};
