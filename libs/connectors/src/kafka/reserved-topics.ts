/** Topics that belong to the platform or to Kafka itself: no pipeline reads or writes them. */
import { connectorSettings } from '@tributary/connector-sdk/settings';
import { TributaryError } from '@tributary/errors/error';
import { checkpointsTopic } from './checkpoints-topic.ts';

export const isReservedTopic = (topic: string): boolean =>
  topic === checkpointsTopic || topic.startsWith('__') || connectorSettings.reservedTopicPrefixes.some((prefix) => topic.startsWith(prefix));

export const reservedMessage = (topic: string): string => `"${topic}" is reserved for the platform; name another topic`;

/** @throws CONFIG_INVALID */
export const refuseReservedTopic = (topic: string): void => {
  if (isReservedTopic(topic)) throw new TributaryError('CONFIG_INVALID', `Topic ${reservedMessage(topic)}.`);
};
