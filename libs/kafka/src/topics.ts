/** Topics: which there are, how they are set up, and between which offsets they hold records. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '@tributary/errors/error';
import kafkajs from 'kafkajs';
import type { IsolationLevel, KafkaClient } from './connection.ts';
import { protocolCodeOf, protocolErrors, toTributaryError, type FailedAction } from './errors.ts';
import { isolationLevels } from './kafkajs-internals.ts';
import { backoffMs, retrying } from './retry.ts';
import { fetchMetadata, leadersOf, partitionIds, partitionsOf } from './topic-metadata.ts';

export interface TopicInfo {
  readonly name: string;
  readonly partitions: number;
}

export interface TopicDescription extends TopicInfo {
  /** The topic's settings by their Kafka names; null when this user may not read them. */
  readonly config: Readonly<Record<string, string>> | null;
}

/** Long enough for a broker to start again. */
const retryForMs = 30_000;

const asking = async <T>(client: KafkaClient, failed: FailedAction, ask: () => Promise<T>): Promise<T> => {
  try {
    return await retrying(ask, {
      forMs: retryForMs,
      between: async () => {
        await client.shared.connect();
        await client.shared.refreshMetadata();
      },
      // Here a missing topic is an answer, not trouble that passes.
      retriable: (error) =>
        protocolCodeOf(error) !== protocolErrors.unknownTopicOrPartition &&
        toTributaryError(error, failed).code !== 'STREAM_NOT_FOUND' &&
        toTributaryError(error, failed).kind === 'transient',
    });
  } catch (error) {
    throw toTributaryError(error, { brokers: client.brokers, ...failed });
  }
};

/** All topics this user may see, by name, without Kafka's own (`__consumer_offsets` and the like). */
export const listTopics = (client: KafkaClient): Promise<TopicInfo[]> =>
  asking(client, { action: 'list topics' }, async () => {
    const { topicMetadata } = await fetchMetadata(client.shared, []);
    return topicMetadata
      .filter((one) => one.topicErrorCode === 0 && one.isInternal !== true)
      .map((one) => ({ name: one.topic, partitions: one.partitionMetadata.length }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  });

/** @throws STREAM_NOT_FOUND, PERMISSION_MISSING */
export const topicPartitions = (client: KafkaClient, topic: string): Promise<number[]> =>
  asking(client, { action: `find topic "${topic}"`, topic }, () => partitionIds(client.shared, topic));

/** @throws STREAM_NOT_FOUND, PERMISSION_MISSING */
export const describeTopic = async (client: KafkaClient, topic: string): Promise<TopicDescription> => {
  const partitions = await topicPartitions(client, topic);
  return { name: topic, partitions: partitions.length, config: await topicConfig(client, topic) };
};

const topicConfig = (client: KafkaClient, topic: string): Promise<Record<string, string> | null> =>
  asking(client, { action: `read the settings of topic "${topic}"`, topic }, async () => {
    const broker = await client.shared.brokerPool.findConnectedBroker();
    try {
      const { resources } = await broker.describeConfigs({ includeSynonyms: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }] });
      return Object.fromEntries((resources[0]?.configEntries ?? []).map((entry) => [entry.configName, entry.configValue]));
    } catch (error) {
      const code = protocolCodeOf(error);
      if (code === protocolErrors.topicAuthorizationFailed || code === protocolErrors.clusterAuthorizationFailed) return null;
      throw error;
    }
  });

export interface NewTopic {
  readonly topic: string;
  /** Default: the broker's `num.partitions` and `default.replication.factor`. */
  readonly partitions?: number;
  readonly replication?: number;
  readonly config?: Readonly<Record<string, string>>;
}

/** Creates the topic unless it is there, and waits until its partitions have leaders. True when it was created by this call. */
export const createTopicIfMissing = async (client: KafkaClient, wanted: NewTopic): Promise<boolean> => {
  const failed: FailedAction = { action: `create topic "${wanted.topic}"`, topic: wanted.topic, brokers: client.brokers };
  const exists = async (): Promise<boolean> => {
    const { topicMetadata } = await fetchMetadata(client.shared, [wanted.topic]);
    const found = topicMetadata.find((one) => one.topic === wanted.topic);
    return found?.topicErrorCode === 0 && found.partitionMetadata.every((one) => one.leader >= 0);
  };
  if (await asking(client, failed, exists)) return false;
  if (!/^[\w.-]{1,249}$/.test(wanted.topic) || wanted.topic === '.' || wanted.topic === '..') {
    throw new TributaryError('CONFIG_INVALID', `"${wanted.topic}" cannot be a Kafka topic: names have 1 to 249 letters, digits, ".", "_" and "-".`);
  }
  const admin = client.kafkajs.admin();
  try {
    await admin.connect();
    const created = await admin.createTopics({
      // kafkajs' own wait gives up on a broker that has not heard of the topic yet.
      waitForLeaders: false,
      topics: [
        {
          topic: wanted.topic,
          numPartitions: wanted.partitions ?? -1,
          replicationFactor: wanted.replication ?? -1,
          configEntries: Object.entries(wanted.config ?? {}).map(([name, value]) => ({ name, value })),
        },
      ],
    });
    // Whoever created it: it may not have leaders yet.
    for (let attempt = 1; attempt < 20 && !(await exists()); attempt++) await sleep(backoffMs(attempt));
    return created;
  } catch (error) {
    throw toTributaryError(createTopicsCause(error), failed);
  } finally {
    await admin.disconnect();
  }
};

/** kafkajs gathers the errors of several topics in one; ours is always about one. */
const createTopicsCause = (error: unknown): unknown => {
  if (error instanceof Error && 'errors' in error && Array.isArray(error.errors) && error.errors.length > 0) return error.errors[0] as unknown;
  return error;
};

/** Timestamps that stand for the ends of a partition. https://kafka.apache.org/protocol#The_Messages_ListOffsets */
const earliest = -2;
const latest = -1;

const listOffsets = (
  client: KafkaClient,
  topic: string,
  partitions: readonly number[],
  timestamp: number,
  isolation: IsolationLevel,
): Promise<Map<number, bigint>> =>
  asking(client, { action: `ask for the offsets of topic "${topic}"`, topic }, async () => {
    // Not through the cluster's own list of topics: one that was deleted since would fail the look-up of all others.
    const metadata = await partitionsOf(client.shared, topic);
    const found = new Map<number, bigint>();
    for (const [broker, led] of await leadersOf(client.shared, metadata, partitions)) {
      const { responses } = await broker.listOffsets({
        isolationLevel: isolationLevels[isolation],
        topics: [{ topic, partitions: led.map((partition) => ({ partition, timestamp })) }],
      });
      for (const one of responses.flatMap((response) => response.partitions)) found.set(one.partition, BigInt(one.offset));
    }
    const missing = partitions.filter((partition) => !found.has(partition));
    if (missing.length > 0) {
      await client.shared.refreshMetadata();
      throw new TributaryError('SOURCE_FAILED', `Topic "${topic}" has no leader for partition ${missing.join(', ')}.`);
    }
    return found;
  });

/** The first offset still held, by partition. */
export const earliestOffsets = (client: KafkaClient, topic: string, partitions: readonly number[]): Promise<Map<number, bigint>> =>
  listOffsets(client, topic, partitions, earliest, 'read_uncommitted');

/**
 * One past the last record, by partition; read_committed: the last stable offset, where a read_committed reader ends. That one
 * reaches a transaction's records a moment after its commit was answered: the broker answers once the commit is decided.
 */
export const latestOffsets = (
  client: KafkaClient,
  topic: string,
  partitions: readonly number[],
  isolation: IsolationLevel = 'read_committed',
): Promise<Map<number, bigint>> => listOffsets(client, topic, partitions, latest, isolation);

/** The first offset whose record is at `timestamp` (epoch milliseconds) or later; the latest offset where none is. */
export const offsetsForTimestamp = async (
  client: KafkaClient,
  topic: string,
  partitions: readonly number[],
  timestamp: number,
): Promise<Map<number, bigint>> => {
  const [found, ends] = await Promise.all([listOffsets(client, topic, partitions, timestamp, 'read_committed'), latestOffsets(client, topic, partitions)]);
  for (const [partition, offset] of found) if (offset < 0n) found.set(partition, ends.get(partition) ?? 0n);
  return found;
};
