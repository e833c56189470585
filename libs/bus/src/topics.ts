/** The platform's own topics. */
import type { KafkaClient } from '@tributary/kafka/connection';
import { createTopicIfMissing } from '@tributary/kafka/topics';

/** How long a service may be down without missing an event. */
const retentionMs = 30 * 24 * 3600 * 1000;

export const ensureTopic = async (client: KafkaClient, topic: string): Promise<void> => {
  await createTopicIfMissing(client, { topic, config: { 'retention.ms': String(retentionMs) } });
};
