/** Which partition each record goes to, and how many of them make a batch. */
import { TributaryError } from '@tributary/errors/error';
import { partitionForKey } from './partitioner.ts';
import { batchHeaderBytes, createRecordBatchWriter, recordSizeBound, type OutRecord, type RecordBatchWriter } from './record-batch-writer.ts';

export interface TopicLayout {
  readonly topic: string;
  readonly partitionCount: number;
  /** No batch may be larger, uncompressed. */
  readonly maxBatchBytes: number;
  /** Where unkeyed records go now, and how many bytes have gone there. */
  stickyPartition: number;
  stickyBytes: number;
}

/** Unkeyed records stay on one partition for so long: large batches, still spread. */
const stickyBytesPerPartition = 64 * 1024;
const initialBatchBytes = 64 * 1024;

export const topicLayout = (topic: string, partitionCount: number, maxBatchBytes: number): TopicLayout => ({
  topic,
  partitionCount,
  maxBatchBytes,
  stickyPartition: Math.floor(Math.random() * partitionCount),
  stickyBytes: 0,
});

const partitionOf = (record: OutRecord, layout: TopicLayout): number => {
  const { topic, partitionCount } = layout;
  if (record.partition !== undefined) {
    if (record.partition < 0 || record.partition >= partitionCount) {
      throw new TributaryError('TARGET_FAILED', `Topic "${topic}" has ${partitionCount} partitions; there is no partition ${record.partition}.`);
    }
    return record.partition;
  }
  if (record.key !== null) return partitionForKey(record.key, partitionCount);
  if (layout.stickyBytes >= stickyBytesPerPartition) {
    layout.stickyPartition = (layout.stickyPartition + 1) % partitionCount;
    layout.stickyBytes = 0;
  }
  layout.stickyBytes += 16 + (record.value?.length ?? 0);
  return layout.stickyPartition;
};

/**
 * Writes all records into batches, in order within each partition; `onBatch` gets each of them once it is full.
 * @throws ROW_TOO_LARGE with `details.index` of the first record that no batch can hold
 */
export const writeBatches = (layout: TopicLayout, records: readonly OutRecord[], onBatch: (partition: number, writer: RecordBatchWriter) => void): void => {
  const { topic, maxBatchBytes } = layout;
  const writers: (RecordBatchWriter | undefined)[] = [];
  for (let index = 0; index < records.length; index++) {
    const record = records[index] as OutRecord;
    const partition = partitionOf(record, layout);
    let writer = writers[partition];
    // Three bytes per UTF-16 unit is the most UTF-8 needs; only near the limit is it worth counting.
    const roughly = 64 + 3 * ((record.key?.length ?? 0) + (record.value?.length ?? 0));
    if (record.headers !== undefined || (writer?.size() ?? batchHeaderBytes) + roughly > maxBatchBytes) {
      const bound = recordSizeBound(record);
      if (batchHeaderBytes + bound > maxBatchBytes) {
        throw new TributaryError('ROW_TOO_LARGE', `Record ${index} has about ${bound} bytes; topic "${topic}" takes ${maxBatchBytes} (max.message.bytes).`, {
          details: { index, topic, limit: maxBatchBytes },
        });
      }
      if (writer !== undefined && writer.size() + bound > maxBatchBytes) {
        onBatch(partition, writer);
        writer = undefined;
      }
    }
    if (writer === undefined) {
      writer = createRecordBatchWriter(initialBatchBytes);
      writers[partition] = writer;
    }
    writer.append(record);
  }
  for (const [partition, writer] of writers.entries()) if (writer !== undefined) onBatch(partition, writer);
};
