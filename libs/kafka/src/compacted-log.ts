/**
 * The latest value of each key in one partition of a compacted topic, such as checkpoints.
 *
 * Transactions are decided here, from the markers in the log, rather than by a read_committed fetch: that one ends where
 * any transaction of the partition is still open, and waiting for strangers would hold up a claim for as long as their
 * transactions may last.
 */
import { TributaryError } from '@tributary/errors/error';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KafkaClient } from './connection.ts';
import { toTributaryError } from './errors.ts';
import { fetchRecords } from './fetch-request.ts';
import { closeCluster, createErrorFromCode } from './kafkajs-internals.ts';
import { partitionForKey } from './partitioner.ts';
import { decodeRecords, transactionOutcome, type FetchedMessage } from './record-batch-reader.ts';
import { retrying } from './retry.ts';
import { leadersOf } from './topic-metadata.ts';
import { earliestOffsets, latestOffsets, topicPartitions } from './topics.ts';

interface CompactedLogOptions {
  readonly topic: string;
  /** The partition that holds all keys of interest: `partitionOfKey` of what they were partitioned by. */
  readonly partition: number;
  /** Which keys are wanted; the others cost no memory. */
  readonly wanted: (key: string) => boolean;
  /** Which of them must be known for certain: an open transaction that wrote one is waited for. Of the others the last committed value is given. Default: all wanted. */
  readonly certain?: (key: string) => boolean;
  /** How long to wait for such a transaction. Default 70 s, longer than transactions last. */
  readonly undecidedForMs?: number;
  readonly signal?: AbortSignal;
}

export const partitionOfKey = async (client: KafkaClient, topic: string, key: string): Promise<number> =>
  partitionForKey(key, (await topicPartitions(client, topic)).length);

/**
 * Reads to the end as of this call, committed values only; a tombstone removes its key.
 * @throws STREAM_NOT_FOUND, HOST_UNREACHABLE, TIMEOUT when a wanted key stays undecided
 */
export const readLatestValues = async (client: KafkaClient, options: CompactedLogOptions): Promise<Map<string, Buffer>> => {
  const { topic, partition } = options;
  const failed = { action: `read topic "${topic}"`, topic, brokers: client.brokers, fallback: 'SOURCE_FAILED' } as const;
  const [start, end] = await Promise.all([
    earliestOffsets(client, topic, [partition]).then((found) => found.get(partition) ?? 0n),
    latestOffsets(client, topic, [partition], 'read_uncommitted').then((found) => found.get(partition) ?? 0n),
  ]);
  const values = new Map<string, Buffer>();
  if (start >= end) return values;

  /** Wanted records of transactions that are not decided yet, by producer. A producer has one transaction at a time. */
  const undecided = new Map<bigint, FetchedMessage[]>();
  const certain = options.certain ?? (() => true);
  const mustWait = (): boolean => undecided.values().some((messages) => messages.some(({ key }) => key !== null && certain(key.toString('utf8'))));
  const apply = (message: FetchedMessage): void => {
    const key = message.key?.toString('utf8');
    if (key === undefined || !options.wanted(key)) return;
    if (message.value === null) values.delete(key);
    // A copy: the message is a view into the broker's whole answer.
    else values.set(key, Buffer.from(message.value));
  };

  const cluster = await client.cluster('read_uncommitted');
  try {
    await cluster.addMultipleTargetTopics([topic]);
    const giveUpAt = Date.now() + (options.undecidedForMs ?? 70_000);
    for (let offset = start; offset < end || mustWait();) {
      options.signal?.throwIfAborted();
      if (offset >= end && Date.now() > giveUpAt) {
        throw new TributaryError('TIMEOUT', `Topic "${topic}" partition ${partition}: a transaction that wrote a checkpoint is still open.`);
      }
      const from = offset;
      const answer = await retrying(
        async () => {
          const [leader] = await leadersOf(cluster, cluster.findTopicPartitionMetadata(topic), [partition]);
          if (leader === undefined) throw createErrorFromCode(5);
          const { partitions } = await fetchRecords(leader[0], {
            topic,
            positions: [{ partition, offset: from }],
            isolation: 'read_uncommitted',
            maxBytes: 4 * 1024 * 1024,
            maxBytesPerPartition: 4 * 1024 * 1024,
            minBytes: 1,
            maxWaitMs: 100,
          });
          const [fetched] = partitions;
          if (fetched === undefined || fetched.errorCode !== 0) throw createErrorFromCode(fetched?.errorCode ?? -1);
          return fetched;
        },
        { forMs: 30_000, between: async () => cluster.refreshMetadata() },
      );
      for (const batch of answer.batches) {
        if (batch.lastOffset < offset) continue;
        offset = batch.lastOffset + 1n;
        if (batch.control) {
          const outcome = await transactionOutcome(batch);
          if (outcome === 'commit') undecided.get(batch.producerId)?.forEach(apply);
          if (outcome !== null) undecided.delete(batch.producerId);
          continue;
        }
        const messages: FetchedMessage[] = [];
        await decodeRecords(batch, from, messages);
        if (!batch.transactional) {
          for (const message of messages) apply(message);
          continue;
        }
        const kept = messages.filter((message) => message.key !== null && options.wanted(message.key.toString('utf8')));
        if (kept.length === 0) continue;
        const waiting = undecided.get(batch.producerId);
        if (waiting === undefined) undecided.set(batch.producerId, kept);
        else waiting.push(...kept);
      }
      if (answer.batches.length === 0 && offset >= end) await sleep(20);
    }
    return values;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw toTributaryError(error, failed);
  } finally {
    await closeCluster(cluster);
  }
};
