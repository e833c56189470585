/**
 * Writes record batches (format v2, https://kafka.apache.org/documentation/#recordbatch) straight into one buffer.
 * kafkajs builds about ten small buffers for each record and computes the checksum in JavaScript; this is most of what
 * its producer costs.
 */
import { crc32c } from '@node-rs/crc32';
import { compress } from './codecs.ts';

export type HeaderValue = Buffer | string;

export interface OutRecord {
  /** Decides the partition unless that is given; null: any partition. */
  readonly key: Buffer | string | null;
  /** null is a tombstone. */
  readonly value: Buffer | string | null;
  readonly headers?: Readonly<Record<string, HeaderValue | readonly HeaderValue[] | undefined>> | undefined;
  readonly partition?: number | undefined;
  /** Epoch milliseconds, also as decimal text; default now. */
  readonly timestamp?: number | string | undefined;
}

interface ProducerState {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

export interface RecordBatchWriter {
  /** Appends at the end; `size()` grows by about the record's bytes. */
  append(record: OutRecord): void;
  count(): number;
  /** Bytes of the batch so far, uncompressed, header included. */
  size(): number;
  /** The batch without checksum and producer; `compression` is a codec number. The writer must not be used afterwards. */
  finish(compression: number, transactional: boolean): Promise<Buffer>;
}

/** Bytes from baseOffset to the number of records, both included. */
export const batchHeaderBytes = 61;
const transactionalFlag = 0x10;

const varintSize = (value: number): number => {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  if (zigzag < 0x80) return 1;
  if (zigzag < 0x4000) return 2;
  if (zigzag < 0x200000) return 3;
  return zigzag < 0x10000000 ? 4 : 5;
};

const isInt32 = (value: number): boolean => (value | 0) === value;

const zigzag64 = (value: number): bigint => {
  const wide = BigInt(value);
  return BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n));
};

const varlongSize = (value: number): number => {
  if (isInt32(value)) return varintSize(value);
  let size = 1;
  for (let zigzag = zigzag64(value); zigzag > 127n; zigzag >>= 7n) size++;
  return size;
};

const byteLength = (value: Buffer | string | null): number => (value === null ? -1 : typeof value === 'string' ? Buffer.byteLength(value) : value.length);

const fieldSize = (length: number): number => varintSize(length) + (length > 0 ? length : 0);

type FlatHeader = readonly [name: string, value: HeaderValue];

const flatHeaders = (headers: OutRecord['headers']): FlatHeader[] => {
  const flat: FlatHeader[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined) continue;
    if (typeof value === 'string' || Buffer.isBuffer(value)) flat.push([name, value]);
    else for (const one of value) flat.push([name, one]);
  }
  return flat;
};

const noHeaders: readonly FlatHeader[] = [];

/** An upper bound of what `record` adds to a batch, for splitting before anything is written. */
export const recordSizeBound = (record: OutRecord): number => {
  let size = 5 + 1 + 10 + 5 + 5 + 5 + 5 + Math.max(byteLength(record.key), 0) + Math.max(byteLength(record.value), 0);
  if (record.headers !== undefined) {
    for (const [name, value] of flatHeaders(record.headers)) size += 10 + byteLength(name) + byteLength(value);
  }
  return size;
};

export const createRecordBatchWriter = (initialBytes: number): RecordBatchWriter => {
  let buffer = Buffer.allocUnsafe(Math.max(initialBytes, 1024));
  let offset = batchHeaderBytes;
  let records = 0;
  let baseTimestamp = 0;
  let maxTimestamp = 0;

  const reserve = (bytes: number): void => {
    if (offset + bytes <= buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, offset + bytes));
    buffer.copy(larger, 0, 0, offset);
    buffer = larger;
  };

  const writeVarint = (value: number): void => {
    let zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
    while (zigzag > 127) {
      buffer[offset++] = (zigzag & 127) | 128;
      zigzag >>>= 7;
    }
    buffer[offset++] = zigzag;
  };

  const writeVarlong = (value: number): void => {
    if (isInt32(value)) {
      writeVarint(value);
      return;
    }
    let zigzag = zigzag64(value);
    for (; zigzag > 127n; zigzag >>= 7n) buffer[offset++] = Number(zigzag & 127n) | 128;
    buffer[offset++] = Number(zigzag);
  };

  const writeField = (value: Buffer | string | null, length: number): void => {
    writeVarint(length);
    if (length <= 0) return;
    if (typeof value === 'string') buffer.write(value, offset, length, 'utf8');
    else (value as Buffer).copy(buffer, offset);
    offset += length;
  };

  const append = (record: OutRecord): void => {
    const { key, value, timestamp } = record;
    const at = timestamp === undefined ? Date.now() : typeof timestamp === 'number' ? timestamp : Number(timestamp);
    if (records === 0) {
      baseTimestamp = at;
      maxTimestamp = at;
    } else if (at > maxTimestamp) maxTimestamp = at;
    const timestampDelta = at - baseTimestamp;

    const keyLength = byteLength(key);
    const valueLength = byteLength(value);
    const headers = record.headers === undefined ? noHeaders : flatHeaders(record.headers);
    let bodySize = 1 + varlongSize(timestampDelta) + varintSize(records) + fieldSize(keyLength) + fieldSize(valueLength) + varintSize(headers.length);
    for (const [name, headerValue] of headers) bodySize += fieldSize(byteLength(name)) + fieldSize(byteLength(headerValue));

    reserve(5 + bodySize);
    writeVarint(bodySize);
    buffer[offset++] = 0;
    writeVarlong(timestampDelta);
    writeVarint(records);
    writeField(key, keyLength);
    writeField(value, valueLength);
    writeVarint(headers.length);
    for (const [name, headerValue] of headers) {
      writeField(name, byteLength(name));
      writeField(headerValue, byteLength(headerValue));
    }
    records++;
  };

  const finish = async (compression: number, transactional: boolean): Promise<Buffer> => {
    let batch = buffer.subarray(0, offset);
    if (compression !== 0) {
      const body = await compress(compression, buffer.subarray(batchHeaderBytes, offset));
      batch = Buffer.allocUnsafe(batchHeaderBytes + body.length);
      body.copy(batch, batchHeaderBytes);
    }
    batch.writeBigInt64BE(0n, 0);
    batch.writeInt32BE(batch.length - 12, 8);
    batch.writeInt32BE(-1, 12);
    batch[16] = 2;
    batch.writeInt16BE(compression | (transactional ? transactionalFlag : 0), 21);
    batch.writeInt32BE(records - 1, 23);
    batch.writeBigInt64BE(BigInt(baseTimestamp), 27);
    batch.writeBigInt64BE(BigInt(maxTimestamp), 35);
    return sealRecordBatch(batch, records, { producerId: -1n, producerEpoch: -1, baseSequence: -1 });
  };

  return { append, count: () => records, size: () => offset, finish };
};

/** Writes producer, sequence and checksum into a finished batch, in place: they are known only when it is sent. */
export const sealRecordBatch = (batch: Buffer, records: number, producer: ProducerState): Buffer => {
  batch.writeBigInt64BE(producer.producerId, 43);
  batch.writeInt16BE(producer.producerEpoch, 51);
  batch.writeInt32BE(producer.baseSequence, 53);
  batch.writeInt32BE(records, 57);
  // The checksum covers everything from the attributes on.
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
};
