/**
 * Reads given partitions from given offsets, without a consumer group: who reads what is decided by slots and leases,
 * and positions are kept in the target. Pulls only when asked, one answer per broker ahead.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '@tributary/errors/error';
import type { IsolationLevel, KafkaClient } from './connection.ts';
import { isRetriableCode, isTransient, protocolErrors, toTributaryError } from './errors.ts';
import { fetchRecords, type FetchedPartition } from './fetch-request.ts';
import { closeCluster, createErrorFromCode, dropConnections, type Broker } from './kafkajs-internals.ts';
import { decodeRecords, transactionOutcome, type FetchedMessage, type RecordBatch } from './record-batch-reader.ts';
import { backoffMs } from './retry.ts';
import { leadersOf } from './topic-metadata.ts';
import { earliestOffsets, latestOffsets } from './topics.ts';

export interface ReaderOptions {
  readonly topic: string;
  /** Partition → first offset to read. */
  readonly offsets: ReadonlyMap<number, bigint>;
  readonly isolation: IsolationLevel;
  /** Of one answer of one broker; up to two answers per broker are held. Default 8 MiB. */
  readonly maxBytes?: number;
  /** How long a broker may wait for data. Default 500 ms. */
  readonly maxWaitMs?: number;
  /** Default 1. */
  readonly minBytes?: number;
  /** How long trouble that may pass is retried before it is thrown. Default 30 s. */
  readonly retryForMs?: number;
}

export interface FetchedBatch {
  readonly partition: number;
  readonly firstOffset: bigint;
  /** Where to go on: behind records, and behind control records, aborted transactions and compacted gaps, too. */
  readonly nextOffset: bigint;
  /** One past the newest record, committed or not. */
  readonly highWatermark: bigint;
  /** The offset up to which all transactions are decided; a read_committed reader gets no further. */
  readonly lastStableOffset: bigint;
  readonly messages: FetchedMessage[];
  /** Size in the log. */
  readonly bytes: number;
}

export interface TopicReader {
  /**
   * What arrived since the last call, at most one batch per partition; empty when the brokers had nothing for `maxWaitMs`.
   * A batch may hold no messages and still advance the offset. Call it again only after it settled.
   * @throws POSITION_LOST, STREAM_NOT_FOUND, PERMISSION_MISSING, HOST_UNREACHABLE, TIMEOUT, SOURCE_FAILED, or the signal's reason
   */
  next(signal?: AbortSignal): Promise<FetchedBatch[]>;
  close(): Promise<void>;
}

interface Fetched {
  readonly firstOffset: bigint;
  readonly nextOffset: bigint;
  readonly answer: FetchedPartition;
}

interface PartitionState {
  readonly partition: number;
  /** Next offset to ask for: ahead of what was delivered by what is in `ready`. */
  offset: bigint;
  failingSince: number;
}

interface LeaderState {
  readonly broker: Broker;
  readonly partitions: PartitionState[];
  inFlight: boolean;
  ready: Fetched[] | null;
}

/** A topic that was there may be gone from metadata while a broker starts, but not for long. */
const unknownTopicForMs = 10_000;

export const openReader = async (client: KafkaClient, options: ReaderOptions): Promise<TopicReader> => {
  const { topic, isolation, maxBytes = 8 * 1024 * 1024, maxWaitMs = 500, minBytes = 1, retryForMs = 30_000 } = options;
  const failed = { action: `read topic "${topic}"`, topic, brokers: client.brokers, fallback: 'SOURCE_FAILED' } as const;
  const cluster = await client.cluster(isolation);
  const states: PartitionState[] = [...options.offsets].map(([partition, offset]) => ({ partition, offset, failingSince: 0 }));
  const maxBytesPerPartition = Math.max(Math.floor(maxBytes / Math.max(states.length, 1)), 64 * 1024);

  let leaders: LeaderState[] = [];
  let stale = true;
  let refreshing = false;
  let attempt = 0;
  let fatal: TributaryError | null = null;
  let closed = false;
  let wake: () => void = () => undefined;

  const noteFailure = (state: PartitionState, error: unknown): void => {
    stale = true;
    const now = Date.now();
    if (state.failingSince === 0) state.failingSince = now;
    const known = toTributaryError(error, failed);
    const limit = known.code === 'STREAM_NOT_FOUND' ? Math.min(unknownTopicForMs, retryForMs) : retryForMs;
    if (!isTransient(error) || now - state.failingSince >= limit) fatal ??= known;
  };

  /** Finds the leaders anew, after a pause that grows while nothing works. */
  const refresh = async (): Promise<void> => {
    refreshing = true;
    try {
      if (attempt > 0) await sleep(backoffMs(attempt));
      attempt++;
      await cluster.refreshMetadata();
      const found = await leadersOf(
        cluster,
        cluster.findTopicPartitionMetadata(topic),
        states.map((one) => one.partition),
      );
      const previous = leaders;
      leaders = [];
      const led = new Set<number>();
      for (const [broker, partitions] of found) {
        for (const partition of partitions) led.add(partition);
        const kept = previous.find((one) => one.broker === broker);
        leaders.push({ broker, partitions: states.filter((one) => partitions.includes(one.partition)), inFlight: false, ready: kept?.ready ?? null });
      }
      for (const old of previous) {
        // What an old leader gave is still the next thing to deliver.
        if (old.ready !== null && !leaders.some((one) => one.broker === old.broker)) {
          leaders.push({ broker: old.broker, partitions: [], inFlight: false, ready: old.ready });
        }
      }
      stale = false;
      for (const state of states) {
        if (!led.has(state.partition)) noteFailure(state, createErrorFromCode(protocolErrors.leaderNotAvailable));
      }
    } catch (error) {
      for (const state of states) noteFailure(state, error);
    } finally {
      refreshing = false;
      wake();
    }
  };

  /** OFFSET_OUT_OF_RANGE: retention has removed the position, or the log was cut below it. */
  const positionLost = async (state: PartitionState): Promise<TributaryError> => {
    const [earliest, latest] = await Promise.all([earliestOffsets(client, topic, [state.partition]), latestOffsets(client, topic, [state.partition])]);
    const [from, to] = [earliest.get(state.partition), latest.get(state.partition)];
    return new TributaryError(
      'POSITION_LOST',
      `Topic "${topic}" partition ${state.partition} no longer holds offset ${state.offset}: it has ${String(from)} up to ${String(to)}.`,
      { details: { topic, partition: state.partition, offset: String(state.offset), earliest: String(from), latest: String(to) } },
    );
  };

  const accept = async (leader: LeaderState, answers: readonly FetchedPartition[]): Promise<void> => {
    const ready: Fetched[] = [];
    let failures = false;
    for (const answer of answers) {
      const state = leader.partitions.find((one) => one.partition === answer.partition);
      if (state === undefined) continue;
      if (answer.errorCode === protocolErrors.offsetOutOfRange) {
        fatal ??= await positionLost(state);
        continue;
      }
      if (answer.errorCode !== 0) {
        failures = true;
        noteFailure(state, createErrorFromCode(answer.errorCode));
        if (!isRetriableCode(answer.errorCode)) fatal ??= toTributaryError(createErrorFromCode(answer.errorCode), failed);
        continue;
      }
      state.failingSince = 0;
      attempt = 0;
      const last = answer.batches.at(-1);
      if (last === undefined) continue;
      const firstOffset = state.offset;
      const nextOffset = last.lastOffset + 1n;
      // Only batches that end before the asked offset: nothing new.
      if (nextOffset <= firstOffset) continue;
      state.offset = nextOffset;
      ready.push({ firstOffset, nextOffset, answer });
    }
    // An error is no sign that there is nothing to read.
    if (ready.length > 0 || !failures) leader.ready = ready;
  };

  const fetchFrom = async (leader: LeaderState): Promise<void> => {
    leader.inFlight = true;
    try {
      // The broker fills its answer in the order asked, so every partition gets its turn at the front.
      const first = leader.partitions.shift();
      if (first !== undefined) leader.partitions.push(first);
      const positions = leader.partitions.map(({ partition, offset }) => ({ partition, offset }));
      const answer = await fetchRecords(leader.broker, { topic, positions, isolation, maxBytes, maxBytesPerPartition, minBytes, maxWaitMs });
      if (answer.errorCode !== 0) throw createErrorFromCode(answer.errorCode);
      await accept(leader, answer.partitions);
    } catch (error) {
      for (const state of leader.partitions) noteFailure(state, error);
      // A connection that timed out or broke half-way must not be used again.
      if (!closed) await dropConnections(leader.broker);
    } finally {
      leader.inFlight = false;
      wake();
    }
  };

  const pump = (): void => {
    if (refreshing || closed) return;
    if (stale) {
      // Answers under way still belong to the old leaders.
      if (!leaders.some((one) => one.inFlight)) void refresh();
      return;
    }
    for (const leader of leaders) {
      if (!leader.inFlight && leader.ready === null && leader.partitions.length > 0) void fetchFrom(leader);
    }
  };

  const next = async (signal?: AbortSignal): Promise<FetchedBatch[]> => {
    for (;;) {
      signal?.throwIfAborted();
      if (closed) throw new TributaryError('INTERNAL', `The reader of topic "${topic}" was closed.`);
      const taken: Fetched[] = [];
      let answered = false;
      for (const leader of leaders) {
        if (leader.ready === null) continue;
        answered = true;
        taken.push(...leader.ready);
        leader.ready = null;
      }
      if (taken.length === 0 && fatal !== null) throw fatal;
      pump();
      if (answered) {
        const batches: FetchedBatch[] = [];
        for (const fetched of taken) batches.push(await decode(fetched));
        return batches;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        signal?.addEventListener('abort', wake, { once: true });
      });
      signal?.removeEventListener('abort', wake);
    }
  };

  /** Leaves out control records and, for read_committed, what was aborted. */
  const decode = async ({ firstOffset, nextOffset, answer }: Fetched): Promise<FetchedBatch> => {
    const messages: FetchedMessage[] = [];
    let bytes = 0;
    let upcoming = 0;
    const abortedNow = new Set<bigint>();
    for (const batch of answer.batches) {
      bytes += batch.bytes;
      for (; upcoming < answer.aborted.length; upcoming++) {
        const transaction = answer.aborted[upcoming] as FetchedPartition['aborted'][number];
        if (transaction.firstOffset > batch.lastOffset) break;
        abortedNow.add(transaction.producerId);
      }
      if (batch.control) await endAborted(batch, abortedNow);
      else if (!(batch.transactional && abortedNow.has(batch.producerId))) await decodeRecords(batch, firstOffset, messages);
    }
    return {
      partition: answer.partition,
      firstOffset,
      nextOffset,
      highWatermark: answer.highWatermark,
      lastStableOffset: answer.lastStableOffset,
      messages,
      bytes,
    };
  };

  const close = async (): Promise<void> => {
    closed = true;
    wake();
    await closeCluster(cluster);
  };

  try {
    await cluster.addMultipleTargetTopics([topic]);
    const present = new Set(cluster.findTopicPartitionMetadata(topic).map((one) => one.partitionId));
    const missing = states.filter((one) => !present.has(one.partition)).map((one) => one.partition);
    if (missing.length > 0) {
      throw new TributaryError('STREAM_NOT_FOUND', `Topic "${topic}" has ${present.size} partitions; there is no partition ${missing.join(', ')}.`);
    }
  } catch (error) {
    await close();
    throw toTributaryError(error, failed);
  }
  return { next, close };
};

const endAborted = async (batch: RecordBatch, aborted: Set<bigint>): Promise<void> => {
  if (aborted.has(batch.producerId) && (await transactionOutcome(batch)) === 'abort') aborted.delete(batch.producerId);
};
