/** One slice of a topic as batches: rows, or records as they are. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadOptions, Reader } from '@tributary/connector-sdk/source';
import type { Batch, KafkaRecord, Position } from '@tributary/contracts/ops';
import type { KafkaClient } from '@tributary/kafka/connection';
import { openReader, type FetchedBatch, type TopicReader } from '@tributary/kafka/reader';
import type { FetchedMessage } from '@tributary/kafka/record-batch-reader';
import { earliestOffsets, latestOffsets } from '@tributary/kafka/topics';
import { createRowMaker } from './message-rows.ts';

export interface SliceOptions {
  readonly client: KafkaClient;
  readonly topic: string;
  /** The partitions of this slice as they are now: topics grow. */
  readonly partitions: () => Promise<number[]>;
  readonly mode: 'continuous' | 'once';
  readonly includeMetadata: boolean;
  readonly keyFields: readonly string[] | null;
}

export interface SliceReader extends Reader {
  close(): Promise<void>;
}

/** How often a topic is looked at for new partitions. */
const growthMs = 30_000;
const idleMs = 500;
/** What a record weighs beside key and value. */
const recordBytes = 70;

interface Pending {
  readonly batch: FetchedBatch;
  /** Messages of it already handed on. */
  taken: number;
}

export const openSlice = (options: SliceOptions, from: Position, read: ReadOptions): SliceReader => {
  const { client, topic, mode } = options;
  /** Partition → next offset to hand on. */
  const position = new Map<number, bigint>();
  /** Partition → offset to end at, in mode `once`. */
  let ends: ReadonlyMap<number, bigint> | null = null;
  let reader: TopicReader | null = null;
  let pending: Pending[] = [];
  let lookedAt = 0;

  const open = async (partitions: readonly number[]): Promise<void> => {
    const unnamed: number[] = [];
    for (const partition of partitions) {
      const text = from[partition];
      if (position.has(partition)) continue;
      if (text === undefined) unnamed.push(partition);
      else position.set(partition, BigInt(text));
    }
    for (const [partition, offset] of await earliestOffsets(client, topic, unnamed)) position.set(partition, offset);
    if (mode === 'once') ends = await latestOffsets(client, topic, partitions);
    await reader?.close();
    pending = [];
    reader =
      position.size === 0
        ? null
        : await openReader(client, {
            topic,
            offsets: position,
            isolation: 'read_committed',
            maxBytes: Math.max(read.maxBytes, 1024 * 1024),
            maxWaitMs: idleMs,
          });
  };

  const lookForPartitions = async (): Promise<void> => {
    if (lookedAt !== 0 && (mode === 'once' || Date.now() - lookedAt < growthMs)) return;
    const partitions = await options.partitions();
    if (lookedAt === 0 || partitions.some((one) => !position.has(one))) await open(partitions);
    lookedAt = Date.now();
  };

  const atEnd = (): boolean => {
    if (ends === null) return false;
    for (const [partition, end] of ends) if ((position.get(partition) ?? 0n) < end) return false;
    return true;
  };

  /** Hands on messages in order until the batch is full; `next` gets each of them. */
  const fill = (next: (partition: number, message: FetchedMessage) => void): { count: number; bytes: number; newestAt: number | null } => {
    let count = 0;
    let bytes = 0;
    let newestAt = -1;
    let current = pending[0];
    while (current !== undefined) {
      const { batch } = current;
      const end = ends?.get(batch.partition) ?? batch.nextOffset;
      for (; current.taken < batch.messages.length; current.taken++) {
        const message = batch.messages[current.taken] as FetchedMessage;
        if (message.offset >= end) break;
        const weight = recordBytes + (message.key?.length ?? 0) + (message.value?.length ?? 0);
        if (count === read.maxRows || (count > 0 && bytes + weight > read.maxBytes)) {
          position.set(batch.partition, message.offset);
          return { count, bytes, newestAt: newestAt < 0 ? null : newestAt };
        }
        next(batch.partition, message);
        count++;
        bytes += weight;
        if (message.timestamp > newestAt) newestAt = message.timestamp;
      }
      // What lies beyond the end of a run that ends is for the next run.
      position.set(batch.partition, batch.nextOffset < end ? batch.nextOffset : end);
      pending.shift();
      current = pending[0];
    }
    return { count, bytes, newestAt: newestAt < 0 ? null : newestAt };
  };

  const positionText = (): Position => Object.fromEntries([...position].map(([partition, offset]) => [String(partition), offset.toString()]));

  const nextRows = (): Batch => {
    const maker = createRowMaker(topic, options);
    const { bytes, newestAt } = fill(maker.add);
    return {
      kind: 'rows',
      rows: maker.rows,
      ...(maker.ops === undefined ? {} : { ops: maker.ops }),
      originOf: maker.originOf,
      unreadable: maker.unreadable,
      position: positionText(),
      bytes,
      newestAt,
    };
  };

  const nextRecords = (): Batch => {
    const payload: KafkaRecord[] = [];
    const { count, bytes, newestAt } = fill((_partition, { key, value, timestamp, headers }) => {
      payload.push(headers === undefined ? { key, value, timestamp: String(timestamp) } : { key, value, timestamp: String(timestamp), headers });
    });
    return { kind: 'encoded', format: 'kafka-records', payload, count, position: positionText(), bytes, newestAt };
  };

  return {
    next: async (signal) => {
      signal.throwIfAborted();
      await lookForPartitions();
      if (pending.length === 0) {
        if (atEnd()) return 'end';
        if (reader === null) {
          if (mode === 'once') return 'end';
          await sleep(idleMs, undefined, { signal }).catch(() => signal.throwIfAborted());
          return 'idle';
        }
        pending = (await reader.next(signal)).map((batch) => ({ batch, taken: 0 }));
        if (pending.length === 0) return atEnd() ? 'end' : 'idle';
      }
      return read.format === 'kafka-records' ? nextRecords() : nextRows();
    },
    close: async () => reader?.close(),
  };
};
