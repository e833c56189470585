/**
 * Reads record batches (format v2, https://kafka.apache.org/documentation/#recordbatch). Batches are told apart before
 * any record is decoded, so that control records, aborted transactions and offsets that compaction left empty are
 * handled for a whole batch at once, and the position after a batch is exact.
 */
import { crc32c } from '@node-rs/crc32';
import { TributaryError } from '@tributary/errors/error';
import { decompress } from './codecs.ts';

export type Headers = Record<string, Buffer | Buffer[]>;

/** One record. Key and value are views into the answer of the broker: copy what is kept for long. */
export interface FetchedMessage {
  readonly offset: bigint;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  /** Absent when the record has none. */
  readonly headers: Headers | undefined;
}

export interface RecordBatch {
  readonly baseOffset: bigint;
  /** The last offset the batch stands for, whether or not compaction left the record. */
  readonly lastOffset: bigint;
  readonly producerId: bigint;
  readonly transactional: boolean;
  readonly control: boolean;
  readonly compression: number;
  readonly count: number;
  readonly baseTimestamp: number;
  /** Every record's timestamp, when the topic is set to LogAppendTime; else null. */
  readonly appendTimestamp: number | null;
  readonly bytes: number;
  /** The records, compressed as `compression` says. */
  readonly body: Buffer;
}

const headerBytes = 61;

const readInt64 = (buffer: Buffer, offset: number): number => buffer.readInt32BE(offset) * 0x1_0000_0000 + buffer.readUInt32BE(offset + 4);

/**
 * The complete batches in `records`, the records field of a fetch answer for one partition; a batch cut off by the
 * fetch limit is left out. `place` names topic and partition in errors.
 */
export const splitRecordBatches = (records: Buffer, place: string): RecordBatch[] => {
  const batches: RecordBatch[] = [];
  for (let start = 0; start + headerBytes <= records.length;) {
    const end = start + 12 + records.readInt32BE(start + 8);
    const baseOffset = records.readBigInt64BE(start);
    const magic = records[start + 16];
    if (magic !== 2) {
      throw new TributaryError(
        'UNSUPPORTED',
        `${place} holds records of the old message format ${String(magic)} at offset ${baseOffset}; convert the topic by copying it with a current client.`,
      );
    }
    if (end > records.length) break;
    if (crc32c(records.subarray(start + 21, end)) !== records.readUInt32BE(start + 17)) {
      throw new TributaryError('SOURCE_FAILED', `${place}: the batch at offset ${baseOffset} has a wrong checksum.`);
    }
    const attributes = records.readInt16BE(start + 21);
    batches.push({
      baseOffset,
      lastOffset: baseOffset + BigInt(records.readInt32BE(start + 23)),
      producerId: records.readBigInt64BE(start + 43),
      transactional: (attributes & 0x10) !== 0,
      control: (attributes & 0x20) !== 0,
      compression: attributes & 7,
      count: records.readInt32BE(start + 57),
      baseTimestamp: readInt64(records, start + 27),
      appendTimestamp: (attributes & 8) === 0 ? null : readInt64(records, start + 35),
      bytes: end - start,
      body: records.subarray(start + headerBytes, end),
    });
    start = end;
  }
  return batches;
};

/** Decodes the records of one batch into `into`, from offset `from` on. */
export const decodeRecords = async (batch: RecordBatch, from: bigint, into: FetchedMessage[]): Promise<void> => {
  const body = batch.compression === 0 ? batch.body : await decompress(batch.compression, batch.body);
  readRecords(batch, body, from, into);
};

const readRecords = (batch: RecordBatch, body: Buffer, from: bigint, into: FetchedMessage[]): void => {
  const { baseOffset, baseTimestamp, appendTimestamp } = batch;
  const base = Number(baseOffset);
  const baseIsExact = Number.isSafeInteger(base + 0x7fffffff);
  let position = 0;

  const readVarint = (): number => {
    let byte = body[position++] as number;
    let value = byte & 127;
    for (let shift = 7; byte > 127; shift += 7) {
      byte = body[position++] as number;
      value |= (byte & 127) << shift;
    }
    return (value >>> 1) ^ -(value & 1);
  };

  const readVarlong = (): number => {
    const start = position;
    let byte = body[position++] as number;
    let value = byte & 127;
    for (let shift = 7; byte > 127; shift += 7) {
      if (shift > 21) {
        position = start;
        return readLongVarlong();
      }
      byte = body[position++] as number;
      value |= (byte & 127) << shift;
    }
    return (value >>> 1) ^ -(value & 1);
  };

  const readLongVarlong = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = body[position++] as number;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    return Number((value >> 1n) ^ -(value & 1n));
  };

  const readField = (): Buffer | null => {
    const length = readVarint();
    if (length < 0) return null;
    const field = body.subarray(position, position + length);
    position += length;
    return field;
  };

  for (let index = 0; index < batch.count; index++) {
    const length = readVarint();
    const end = position + length;
    position++;
    const timestampDelta = readVarlong();
    const delta = readVarint();
    const offset = baseIsExact ? BigInt(base + delta) : baseOffset + BigInt(delta);
    if (offset < from) {
      position = end;
      continue;
    }
    const key = readField();
    const value = readField();
    const headerCount = readVarint();
    let headers: Headers | undefined;
    if (headerCount > 0) {
      headers = {};
      for (let header = 0; header < headerCount; header++) addHeader(headers, (readField() as Buffer).toString('utf8'), readField());
    }
    position = end;
    into.push({ offset, key, value, timestamp: appendTimestamp ?? baseTimestamp + timestampDelta, headers });
  }
};

const addHeader = (headers: Headers, name: string, value: Buffer | null): void => {
  const one = value ?? Buffer.alloc(0);
  const present = Object.hasOwn(headers, name) ? headers[name] : undefined;
  if (present === undefined) Object.defineProperty(headers, name, { value: one, enumerable: true, writable: true, configurable: true });
  else if (Array.isArray(present)) present.push(one);
  else headers[name] = [present, one];
};

/** The outcome that a control batch records: the key of its one record is [version int16][type int16], 0 = abort, 1 = commit. */
export const transactionOutcome = async (batch: RecordBatch): Promise<'abort' | 'commit' | null> => {
  const records: FetchedMessage[] = [];
  await decodeRecords(batch, batch.baseOffset, records);
  const key = records[0]?.key;
  if (key === null || key === undefined || key.length < 4) return null;
  const type = key.readInt16BE(2);
  return type === 0 ? 'abort' : type === 1 ? 'commit' : null;
};
