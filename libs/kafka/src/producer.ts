/**
 * Writes records: acknowledged by all replicas, retried without doubling (idempotent), and in transactions.
 *
 * One batch per partition is under way at a time. A batch keeps its sequence number and its bytes through every retry,
 * so that the broker recognises one it already has. A batch whose outcome stays unknown ends a transactional producer,
 * because only a new claim of the slot may decide what happened to it; any other goes on under a new producer id.
 */
import { TributaryError } from '@tributary/errors/error';
import { topicLayout, writeBatches, type TopicLayout } from './batching.ts';
import { compressionNumber, type Compression } from './codecs.ts';
import type { KafkaClient } from './connection.ts';
import { isRetriableCode, isTransient, protocolErrors, toTributaryError } from './errors.ts';
import { closeCluster, createErrorFromCode, dropConnections, type Broker } from './kafkajs-internals.ts';
import { produce, type ProduceOutcome } from './produce-request.ts';
import { sealRecordBatch, type OutRecord } from './record-batch-writer.ts';
import { backoffMs, retrying } from './retry.ts';
import { describeTopic } from './topics.ts';
import { transactionCoordinator, type ProducerIdentity } from './transaction.ts';

export type { OutRecord } from './record-batch-writer.ts';

export interface ProducerOptions {
  /** The broker drops what it already has when a batch is sent again. Always on with `transactionalId`. */
  readonly idempotent: boolean;
  readonly transactionalId?: string;
  readonly compression?: Compression;
  /** Topics it will write to, as far as known; they must exist. Without any, kafkajs asks for the metadata of all topics to find its coordinator. */
  readonly topics?: readonly string[];
  /** Of one request to one broker. Default 8 MiB. */
  readonly maxBytesPerRequest?: number;
  /** After this a transaction left open is aborted by the broker. Default 60 s. */
  readonly transactionTimeoutMs?: number;
  /** How long trouble that may pass is retried before it is thrown. Default 30 s. */
  readonly retryForMs?: number;
}

export interface Producer {
  /**
   * Resolves once all records are on all in-sync replicas. Records of one partition keep their order, within a call and
   * between calls, also when the caller does not wait for the one before.
   * @throws ROW_TOO_LARGE with `details.index`, before anything of this call is sent; FENCED; STREAM_NOT_FOUND; TARGET_FAILED
   */
  send(topic: string, records: readonly OutRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface TransactionalProducer extends Producer {
  /** I2: fences every older producer of this transactional id and decides what it left open. Before positions are read. */
  init(): Promise<void>;
  begin(): void;
  /** Waits for everything sent; throws what a `send` threw, after which only `abort` is left. @throws FENCED: nothing was committed. */
  commit(): Promise<void>;
  abort(): Promise<void>;
}

interface PendingBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: number;
  readonly encoded: Promise<Buffer>;
  readonly resolve: () => void;
  readonly reject: (error: TributaryError) => void;
  bytes: Buffer | null;
  /** Was the batch sent, so that the broker may have it? */
  attempted: boolean;
  failingSince: number;
}

interface PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  readonly waiting: PendingBatch[];
  busy: boolean;
  nextSequence: number;
  /** Whose sequence it is. */
  identity: ProducerIdentity | null;
  retryAt: number;
  attempt: number;
}

/** Kafka's default of `max.message.bytes`, for when the topic's own may not be read. */
const defaultMaxBatchBytes = 1_048_588;
const sequences = 0x8000_0000;

export function openProducer(client: KafkaClient, options: ProducerOptions & { readonly transactionalId: string }): Promise<TransactionalProducer>;
export function openProducer(client: KafkaClient, options: ProducerOptions): Promise<Producer>;
export async function openProducer(client: KafkaClient, options: ProducerOptions): Promise<TransactionalProducer> {
  const { transactionalId, retryForMs = 30_000, maxBytesPerRequest = 8 * 1024 * 1024 } = options;
  const compression = compressionNumber(options.compression ?? 'none');
  const cluster = await client.cluster('read_committed');
  const layouts = new Map<string, TopicLayout>();
  const queues = new Map<string, PartitionQueue>();
  const busyNodes = new Set<number>();
  /** Calls of `send` that are under way. */
  const outstanding = new Set<Promise<unknown>>();

  let identity: ProducerIdentity | null = null;
  /** The broker may have a batch that was given up: its sequence cannot go on under this identity. */
  let identitySpent = false;
  let broken: TributaryError | null = null;
  let inTransaction = false;
  /** Why the open transaction can only be aborted. */
  let failure: TributaryError | null = null;
  let added = new Set<PartitionQueue>();
  let timer: NodeJS.Timeout | null = null;
  let refreshing: Promise<void> | null = null;
  let sending: Promise<unknown> = Promise.resolve();

  const coordinator =
    transactionalId === undefined
      ? null
      : transactionCoordinator(cluster, { transactionalId, timeoutMs: options.transactionTimeoutMs ?? 60_000, retryForMs, brokers: client.brokers });

  const failedFor = (topic: string) => ({ action: `write to topic "${topic}"`, topic, brokers: client.brokers, fallback: 'TARGET_FAILED' }) as const;

  /** Nothing can be sent any more; whoever waits is told. */
  const breakDown = (error: TributaryError): void => {
    broken ??= error;
    for (const queue of queues.values()) {
      if (queue.busy) continue;
      for (const batch of queue.waiting.splice(0)) batch.reject(broken);
    }
  };

  const layoutOf = async (topic: string): Promise<TopicLayout> => {
    try {
      const { partitions, config } = await describeTopic(client, topic);
      await retrying(() => cluster.addMultipleTargetTopics([topic]), { forMs: retryForMs });
      const limit = Number(config?.['max.message.bytes'] ?? defaultMaxBatchBytes);
      const layout = topicLayout(topic, partitions, Math.min(limit, maxBytesPerRequest));
      layouts.set(topic, layout);
      return layout;
    } catch (error) {
      throw toTributaryError(error, failedFor(topic));
    }
  };

  const queueOf = (topic: string, partition: number): PartitionQueue => {
    const name = `${partition} ${topic}`;
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = { topic, partition, waiting: [], busy: false, nextSequence: 0, identity: null, retryAt: 0, attempt: 0 };
      queues.set(name, queue);
    }
    return queue;
  };

  /** Encodes all records; a batch is done when its promise settles. */
  const encode = (layout: TopicLayout, records: readonly OutRecord[]): { batches: PendingBatch[]; done: Promise<void>[] } => {
    const batches: PendingBatch[] = [];
    const done: Promise<void>[] = [];
    writeBatches(layout, records, (partition, writer) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      // Waited for by `send`; a rejection that comes before must not count as unhandled.
      promise.catch(() => undefined);
      const encoded = writer.finish(compression, transactionalId !== undefined);
      encoded.catch(() => undefined);
      batches.push({ topic: layout.topic, partition, records: writer.count(), encoded, resolve, reject, bytes: null, attempted: false, failingSince: 0 });
      done.push(promise);
    });
    return { batches, done };
  };

  const addToTransaction = async (batches: readonly PendingBatch[]): Promise<void> => {
    if (coordinator === null || identity === null) return;
    const missing = new Map<string, Set<number>>();
    const fresh = new Set<PartitionQueue>();
    for (const { topic, partition } of batches) {
      const queue = queueOf(topic, partition);
      if (added.has(queue)) continue;
      fresh.add(queue);
      const partitions = missing.get(topic) ?? new Set();
      missing.set(topic, partitions.add(partition));
    }
    if (fresh.size === 0) return;
    await coordinator.addPartitions(
      identity,
      [...missing].map(([topic, partitions]) => ({ topic, partitions: [...partitions] })),
    );
    for (const queue of fresh) added.add(queue);
  };

  const send = async (topic: string, records: readonly OutRecord[]): Promise<void> => {
    if (broken !== null) throw broken;
    if (transactionalId !== undefined && !inTransaction) throw new TributaryError('INTERNAL', `The producer "${transactionalId}" has no open transaction.`);
    if (records.length === 0) return;
    let done: Promise<void>[] = [];
    // One call after the other reaches the queues, also while topics are looked up and partitions added to the transaction.
    const enqueued = sending.then(async () => {
      const layout = layouts.get(topic) ?? (await layoutOf(topic));
      const encoded = encode(layout, records);
      await addToTransaction(encoded.batches);
      if (broken !== null) throw broken;
      ({ done } = encoded);
      for (const batch of encoded.batches) queueOf(topic, batch.partition).waiting.push(batch);
      pump();
    });
    sending = enqueued.catch(() => undefined);
    const finished = (async () => {
      try {
        await enqueued;
        // All of them, so that nothing of this call is under way when it fails.
        const outcomes = await Promise.allSettled(done);
        for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
      } catch (error) {
        const known = toTributaryError(error, failedFor(topic));
        // A record too large was found before anything was sent: the transaction can go on without it.
        if (known.code !== 'ROW_TOO_LARGE' || done.length > 0) failure ??= known;
        throw known;
      }
    })();
    outstanding.add(finished);
    try {
      await finished;
    } finally {
      outstanding.delete(finished);
    }
  };

  const refresh = (): Promise<void> => {
    refreshing ??= (async () => {
      try {
        if (!cluster.isConnected()) await cluster.connect();
        await cluster.refreshMetadata();
      } catch (error) {
        client.log.debug('Metadata could not be refreshed while writing; trying again', { reason: error instanceof Error ? error.message : String(error) });
      } finally {
        refreshing = null;
      }
    })();
    return refreshing;
  };

  const pumpAt = (time: number): void => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(
      () => {
        timer = null;
        pump();
      },
      Math.max(time - Date.now(), 1),
    );
  };

  /** Starts a request to every leader that is free and has something waiting. */
  const pump = (): void => {
    const now = Date.now();
    let wakeAt = Number.POSITIVE_INFINITY;
    const byNode = new Map<number, PartitionQueue[]>();
    const leaders = new Map<string, Map<number, number>>();
    for (const queue of queues.values()) {
      if (queue.busy || queue.waiting.length === 0) continue;
      if (queue.retryAt > now) {
        wakeAt = Math.min(wakeAt, queue.retryAt);
        continue;
      }
      let ofTopic = leaders.get(queue.topic);
      if (ofTopic === undefined) {
        ofTopic = new Map(cluster.findTopicPartitionMetadata(queue.topic).map((one) => [one.partitionId, one.leader]));
        leaders.set(queue.topic, ofTopic);
      }
      const leader = ofTopic.get(queue.partition) ?? -1;
      if (leader < 0) {
        failed(queue, createErrorFromCode(protocolErrors.leaderNotAvailable));
        void refresh();
        wakeAt = Math.min(wakeAt, queue.retryAt);
        continue;
      }
      if (busyNodes.has(leader)) continue;
      const list = byNode.get(leader);
      if (list === undefined) byNode.set(leader, [queue]);
      else list.push(queue);
    }
    for (const [nodeId, list] of byNode) void sendTo(nodeId, list);
    if (Number.isFinite(wakeAt)) pumpAt(wakeAt);
  };

  const sendTo = async (nodeId: number, candidates: readonly PartitionQueue[]): Promise<void> => {
    // Taken at once, before the first await: each broker has one request and each partition one batch under way.
    busyNodes.add(nodeId);
    for (const queue of candidates) queue.busy = true;
    let chosen: PartitionQueue[] = [];
    let broker: Broker | null = null;
    try {
      broker = await cluster.findBroker({ nodeId });
      if (identitySpent) {
        identity = await broker.initProducerId({});
        identitySpent = false;
      }
      const batches: { topic: string; partition: number; batch: Buffer }[] = [];
      let bytes = 0;
      for (const queue of candidates) {
        const batch = queue.waiting[0] as PendingBatch;
        const encoded = await batch.encoded;
        if (batches.length > 0 && bytes + encoded.length > maxBytesPerRequest) break;
        bytes += encoded.length;
        batch.bytes ??= seal(queue, batch, encoded);
        batches.push({ topic: queue.topic, partition: queue.partition, batch: batch.bytes });
        chosen.push(queue);
      }
      for (const queue of chosen) (queue.waiting[0] as PendingBatch).attempted = true;
      const outcomes = await produce(broker, batches, { transactionalId: transactionalId ?? null, timeoutMs: retryForMs });
      settle(chosen, outcomes);
    } catch (error) {
      const affected = chosen.length > 0 ? chosen : candidates;
      chosen = [...affected];
      for (const queue of affected) failed(queue, error);
      if (broker !== null) await dropConnections(broker);
      await refresh();
    } finally {
      for (const queue of candidates) queue.busy = false;
      busyNodes.delete(nodeId);
      if (broken !== null) breakDown(broken);
      pump();
    }
  };

  const seal = (queue: PartitionQueue, batch: PendingBatch, encoded: Buffer): Buffer => {
    if (identity === null) return encoded;
    if (queue.identity !== identity) {
      queue.identity = identity;
      queue.nextSequence = 0;
    }
    return sealRecordBatch(encoded, batch.records, {
      producerId: BigInt(identity.producerId),
      producerEpoch: identity.producerEpoch,
      baseSequence: queue.nextSequence,
    });
  };

  const settle = (chosen: readonly PartitionQueue[], outcomes: readonly ProduceOutcome[]): void => {
    let stale = false;
    for (const queue of chosen) {
      const outcome = outcomes.find((one) => one.topic === queue.topic && one.partition === queue.partition);
      const code = outcome?.errorCode ?? protocolErrors.networkException;
      if (code === 0 || code === protocolErrors.duplicateSequence) {
        const batch = queue.waiting.shift() as PendingBatch;
        queue.nextSequence = (queue.nextSequence + batch.records) % sequences;
        queue.attempt = 0;
        batch.resolve();
      } else {
        stale ||= isRetriableCode(code);
        failed(queue, createErrorFromCode(code), code);
      }
    }
    if (stale) void refresh();
  };

  /** Decides about the first batch of a partition after it failed: again later, rejected alone, or the end of the producer. */
  const failed = (queue: PartitionQueue, error: unknown, code?: number): void => {
    const batch = queue.waiting[0];
    if (batch === undefined) return;
    const now = Date.now();
    if (batch.failingSince === 0) batch.failingSince = now;
    const known = toTributaryError(error, failedFor(queue.topic));
    if (isTransient(error) && now - batch.failingSince < retryForMs) {
      queue.attempt++;
      queue.retryAt = now + (code === protocolErrors.concurrentTransactions ? 5 * Math.min(queue.attempt, 20) : backoffMs(queue.attempt));
      return;
    }
    queue.waiting.shift();
    batch.reject(known);
    const refused = code === protocolErrors.messageTooLarge || code === protocolErrors.recordListTooLarge;
    // Refused for its size, or never sent: the sequence goes on as if it had not been.
    if (identity === null || refused || !batch.attempted) return;
    // Else nobody knows, or somebody newer is at work. Only a new claim of the slot may go on from there.
    if (transactionalId === undefined) identitySpent = true;
    else breakDown(known);
  };

  const end = async (commit: boolean): Promise<void> => {
    if (coordinator === null || identity === null) throw new TributaryError('INTERNAL', 'This producer has no transactional id, or was not initialised.');
    if (!inTransaction) throw new TributaryError('INTERNAL', `The producer "${transactionalId}" has no open transaction.`);
    await Promise.allSettled(outstanding);
    if (commit && failure !== null) throw failure;
    if (commit && broken !== null) throw broken;
    const took = added.size > 0;
    inTransaction = false;
    failure = null;
    added = new Set();
    try {
      // Without a partition the coordinator knows of no transaction.
      if (took) await coordinator.end(identity, commit);
    } catch (error) {
      const known = toTributaryError(error, { action: `end the transaction of "${transactionalId}"`, brokers: client.brokers, fallback: 'TARGET_FAILED' });
      // Whether it ended is for the next claim to find out.
      breakDown(known);
      throw known;
    }
  };

  const producer: TransactionalProducer = {
    send,
    init: async () => {
      if (coordinator === null) throw new TributaryError('INTERNAL', 'This producer was opened without a transactional id.');
      // A second init would fence an heir that took over meanwhile, from a position that is no longer true.
      if (identity !== null) throw new TributaryError('INTERNAL', `The producer "${transactionalId}" is already initialised.`);
      identity = await coordinator.initialise();
    },
    begin: () => {
      if (broken !== null) throw broken;
      if (identity === null) throw new TributaryError('INTERNAL', `The producer "${String(transactionalId)}" was not initialised.`);
      if (inTransaction) throw new TributaryError('INTERNAL', `The producer "${transactionalId}" already has an open transaction.`);
      inTransaction = true;
    },
    commit: () => end(true),
    abort: () => end(false),
    close: async () => {
      breakDown(new TributaryError('INTERNAL', 'The producer was closed.'));
      if (timer !== null) clearTimeout(timer);
      await closeCluster(cluster);
    },
  };

  if (options.topics !== undefined) {
    try {
      await retrying(() => cluster.addMultipleTargetTopics([...(options.topics ?? [])]), { forMs: retryForMs });
    } catch (error) {
      await producer.close();
      throw toTributaryError(error, failedFor(options.topics.join('", "')));
    }
  }
  if (options.idempotent && transactionalId === undefined) {
    try {
      identity = await retrying(async () => (await cluster.brokerPool.findConnectedBroker()).initProducerId({}), { forMs: retryForMs });
    } catch (error) {
      await producer.close();
      throw toTributaryError(error, { action: 'initialise an idempotent producer', brokers: client.brokers, fallback: 'TARGET_FAILED' });
    }
  }
  return producer;
}
