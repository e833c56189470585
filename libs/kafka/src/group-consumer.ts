/**
 * Consumes topics as a member of a group, for Tributary's own events: at least once, in order within a partition, never
 * passing over a message. Data of pipelines is read with reader.ts instead.
 */
import { TributaryError } from '@tributary/errors/error';
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import type { KafkaClient } from './connection.ts';
import { toTributaryError } from './errors.ts';
import { backoffMs } from './retry.ts';

export interface GroupMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: KafkaMessage['headers'];
  /** Epoch milliseconds. */
  readonly timestamp: number;
}

interface GroupOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  /** Where a group without committed offsets begins. */
  readonly fromBeginning: boolean;
  /** A rejection means: not handled, give it to me again. It is repeated, with growing pauses, until it resolves. */
  readonly onMessage: (message: GroupMessage) => Promise<void>;
  /** Partitions handled at the same time. Default 4. */
  readonly concurrency?: number;
}

export interface GroupConsumer {
  /** When a message was last handled, or the group last found to have nothing new. Epoch milliseconds. */
  lastProgressAt(): number;
  /** Has nothing been handled for `milliseconds`, although this member should be at work? For readiness. */
  isStuck(milliseconds: number): boolean;
  /** Takes no further message, waits for those in hand and commits them. */
  stop(): Promise<void>;
}

/** A member that died is replaced within this time. */
const sessionTimeoutMs = 10_000;
const heartbeatMs = 2_000;

/** Joins the group; resolves once the first fetch has begun. @throws STREAM_NOT_FOUND, PERMISSION_MISSING, HOST_UNREACHABLE */
export const consumeGroup = async (client: KafkaClient, options: GroupOptions): Promise<GroupConsumer> => {
  const { groupId } = options;
  const failed = { action: `consume as group "${groupId}"`, topic: options.topics.join('", "'), brokers: client.brokers } as const;
  const stopping = new AbortController();
  let progress = Date.now();
  const noteProgress = (): void => {
    progress = Date.now();
  };

  const consumer = client.kafkajs.consumer({
    groupId,
    sessionTimeout: sessionTimeoutMs,
    rebalanceTimeout: sessionTimeoutMs,
    heartbeatInterval: heartbeatMs,
    maxWaitTimeInMs: 500,
    allowAutoTopicCreation: false,
    // A consumer that lost its broker for longer joins again: nobody else would restart it.
    retry: { retries: 5, restartOnFailure: async () => !stopping.signal.aborted },
  });

  const pause = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(done, milliseconds);
      function done(): void {
        clearTimeout(timer);
        stopping.signal.removeEventListener('abort', done);
        resolve();
      }
      stopping.signal.addEventListener('abort', done, { once: true });
    });

  /** True once handled; false when the member is stopping or has lost the partition, and must leave the message to the next owner. */
  const handle = async (message: GroupMessage, stillOurs: () => boolean): Promise<boolean> => {
    for (let attempt = 1; ; attempt++) {
      try {
        await options.onMessage(message);
        noteProgress();
        return true;
      } catch (error) {
        client.log.warn(`A message of topic "${message.topic}" could not be handled; it is tried again`, {
          groupId,
          partition: message.partition,
          offset: message.offset.toString(),
          attempt,
          reason: error instanceof Error ? error.message : String(error),
        });
      }
      await pause(backoffMs(attempt) * 4);
      if (!stillOurs()) return false;
    }
  };

  const eachBatch = async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }: EachBatchPayload): Promise<void> => {
    const stillOurs = (): boolean => !stopping.signal.aborted && isRunning() && !isStale();
    // The handler may take longer than a session; the group must not take that for death.
    const beating = setInterval(() => void heartbeat().catch(() => undefined), heartbeatMs);
    try {
      for (const { offset, key, value, headers, timestamp } of batch.messages) {
        if (!stillOurs()) break;
        const message = { topic: batch.topic, partition: batch.partition, offset: BigInt(offset), key, value, headers, timestamp: Number(timestamp) };
        if (!(await handle(message, stillOurs))) break;
        resolveOffset(offset);
        await commitOffsetsIfNecessary();
      }
    } finally {
      clearInterval(beating);
    }
  };

  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [...options.topics], fromBeginning: options.fromBeginning });
    const fetching = new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.FETCH_START, () => {
        resolve();
      });
      consumer.on(consumer.events.CRASH, ({ payload }) => {
        if (!payload.restart) reject(payload.error);
      });
      consumer.on(consumer.events.FETCH, ({ payload }) => {
        if (payload.numberOfBatches === 0) noteProgress();
      });
    });
    await consumer.run({
      eachBatchAutoResolve: false,
      autoCommitInterval: 1_000,
      autoCommitThreshold: 200,
      partitionsConsumedConcurrently: options.concurrency ?? 4,
      eachBatch,
    });
    await fetching;
  } catch (error) {
    await consumer.disconnect().catch(() => undefined);
    throw toTributaryError(error, failed);
  }

  let stopped: Promise<void> | null = null;
  return {
    lastProgressAt: () => progress,
    isStuck: (milliseconds) => !stopping.signal.aborted && Date.now() - progress > milliseconds,
    stop: () => {
      stopping.abort(new TributaryError('SERVICE_UNAVAILABLE', `Group "${groupId}" is stopping.`));
      // disconnect() waits for eachBatch and commits what it resolved.
      stopped ??= consumer.disconnect();
      return stopped;
    },
  };
};
