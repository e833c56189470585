/** The platform's own topics. Each begins with the installation's namespace, so that several installations can share a cluster. */
import type { KafkaClient } from '@tributary/kafka/connection';
import { createTopicIfMissing } from '@tributary/kafka/topics';

/** How long a service may be down without missing an event. */
const retentionMs = 30 * 24 * 3600 * 1000;

/** `topic` is short, as events define it. Outboxes may still hold events stored before that, with the default's full name. */
export const topicName = (namespace: string, topic: string): string => `${namespace}.${topic.replace(/^tributary\./, '')}`;

/** Of a full name. */
export const deadLetterTopic = (topic: string): string => `${topic}.dead-letter`;

export const ensureTopic = async (client: KafkaClient, topic: string): Promise<void> => {
  await createTopicIfMissing(client, { topic, config: { 'retention.ms': String(retentionMs) } });
};
