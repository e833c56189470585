import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { compressionNumber, type Compression } from './codecs.ts';
import { decodeRecords, splitRecordBatches, type FetchedMessage } from './record-batch-reader.ts';
import { createRecordBatchWriter, sealRecordBatch, type OutRecord } from './record-batch-writer.ts';

const load = createRequire(import.meta.url);
interface KafkajsRecord {
  offset: string;
  timestamp: string;
  key: Buffer | null;
  value: Buffer | null;
  headers: Record<string, Buffer | Buffer[]>;
}
const KafkajsDecoder = load('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => unknown;
const kafkajsBatch = load('kafkajs/src/protocol/recordBatch/v0/decoder') as (
  decoder: unknown,
) => Promise<{ records: KafkajsRecord[]; producerId: string; firstSequence: number; inTransaction: boolean; lastOffsetDelta: number }>;

const now = 1_760_000_000_000;
const records: OutRecord[] = [
  { key: 'plain', value: '{"a":1}', timestamp: now },
  { key: null, value: 'no key', timestamp: now + 5 },
  { key: 'tombstone', value: null, timestamp: now - 20 },
  { key: Buffer.from([0, 255, 128]), value: Buffer.alloc(300, 7), timestamp: now + 4_000_000_000 },
  { key: '', value: '', timestamp: now },
  { key: 'ключ', value: '值 🎈', timestamp: String(now + 1), headers: { one: 'x', many: ['a', Buffer.from('b')], gone: undefined, empty: '' } },
];
for (let index = 0; index < 300; index++) records.push({ key: `k${index}`, value: 'v'.repeat(index), timestamp: now + index });

const asBuffer = (value: Buffer | string | null): Buffer | null => (typeof value === 'string' ? Buffer.from(value) : value);

const write = async (compression: Compression): Promise<Buffer> => {
  const writer = createRecordBatchWriter(1024);
  for (const record of records) writer.append(record);
  const batch = await writer.finish(compressionNumber(compression), true);
  return sealRecordBatch(batch, writer.count(), { producerId: 123456789012n, producerEpoch: 7, baseSequence: 42 });
};

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('kafkajs reads a batch compressed with %s as it was written', async (compression) => {
  const decoded = await kafkajsBatch(new KafkajsDecoder(await write(compression)));
  expect(decoded).toMatchObject({ producerId: '123456789012', firstSequence: 42, inTransaction: true, lastOffsetDelta: records.length - 1 });
  expect(decoded.records).toHaveLength(records.length);
  for (const [index, record] of records.entries()) {
    const read = decoded.records[index] as KafkajsRecord;
    expect(read.offset).toBe(String(index));
    expect(read.timestamp).toBe(String(record.timestamp));
    expect(read.key).toEqual(asBuffer(record.key));
    expect(read.value).toEqual(asBuffer(record.value));
  }
  expect(decoded.records[5]?.headers).toEqual({ one: Buffer.from('x'), many: [Buffer.from('a'), Buffer.from('b')], empty: Buffer.from('') });
});

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('our reader reads a batch compressed with %s as it was written', async (compression) => {
  const [batch] = splitRecordBatches(await write(compression), 'topic "t" partition 0');
  if (batch === undefined) throw new Error('no batch');
  expect(batch).toMatchObject({ baseOffset: 0n, lastOffset: BigInt(records.length - 1), transactional: true, control: false, count: records.length });
  const read: FetchedMessage[] = [];
  await decodeRecords(batch, 0n, read);
  expect(read.map((one) => one.timestamp)).toEqual(records.map((one) => Number(one.timestamp)));
  expect(read.map((one) => one.key)).toEqual(records.map((one) => asBuffer(one.key)));
  expect(read.map((one) => one.value)).toEqual(records.map((one) => asBuffer(one.value)));
  expect(read[5]?.headers).toEqual({ one: Buffer.from('x'), many: [Buffer.from('a'), Buffer.from('b')], empty: Buffer.from('') });
  expect(read[0]?.headers).toBeUndefined();
});

test('reading from the middle of a batch leaves out what comes before', async () => {
  const [batch] = splitRecordBatches(await write('lz4'), 't');
  if (batch === undefined) throw new Error('no batch');
  const read: FetchedMessage[] = [];
  await decodeRecords(batch, 300n, read);
  expect(read.map((one) => one.offset)).toEqual([300n, 301n, 302n, 303n, 304n, 305n]);
});

test('a flipped bit is refused', async () => {
  const batch = await write('none');
  batch[100] = (batch[100] as number) ^ 1;
  expect(() => splitRecordBatches(batch, 'topic "t" partition 0')).toThrow(/topic "t" partition 0: the batch at offset 0 has a wrong checksum/);
});

test('a batch cut off by the fetch limit is left out', async () => {
  const batch = await write('none');
  const cut = Buffer.concat([batch, batch.subarray(0, batch.length - 1)]);
  expect(splitRecordBatches(cut, 't')).toHaveLength(1);
});
