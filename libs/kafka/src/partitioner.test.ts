import { createRequire } from 'node:module';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { murmur2, partitionForKey } from './partitioner.ts';

// From the tests of the Java client (UtilsTest.testMurmur2).
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
])('murmur2 of %s is what Java computes', (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash);
});

// kafkajs carries a port of its own; it covers what the vectors do not: bytes above 127 and every length of the tail.
const kafkajsMurmur2 = createRequire(import.meta.url)('kafkajs/src/producer/partitioners/default/murmur2') as (key: Buffer) => number;

test('murmur2 agrees with kafkajs on any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => murmur2(bytes) === kafkajsMurmur2(Buffer.from(bytes))));
});

test('a string key goes where its UTF-8 bytes go', () => {
  for (const key of ['', 'a', 'ключ', '🎈']) expect(partitionForKey(key, 7)).toBe(partitionForKey(Buffer.from(key), 7));
});
