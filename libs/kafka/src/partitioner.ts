/**
 * Kafka's default partitioning: `toPositive(murmur2(key)) % partitions`, so that a key written here and a key written by
 * a Java client land in the same partition. Ported from the definition of murmur2 by Austin Appleby with the seed and
 * word order of org.apache.kafka.common.utils.Utils.murmur2.
 */
const seed = 0x9747b28c;
const mix = 0x5bd1e995;

/** Signed 32-bit murmur2, equal to Java's `Utils.murmur2(key)`. */
export const murmur2 = (key: Uint8Array): number => {
  const length = key.length;
  const tail = length & ~3;
  let hash = seed ^ length;
  for (let index = 0; index < tail; index += 4) {
    let word = (key[index] as number) | ((key[index + 1] as number) << 8) | ((key[index + 2] as number) << 16) | ((key[index + 3] as number) << 24);
    word = Math.imul(word, mix);
    word ^= word >>> 24;
    hash = Math.imul(hash, mix) ^ Math.imul(word, mix);
  }
  const rest = length - tail;
  if (rest > 0) {
    if (rest === 3) hash ^= (key[tail + 2] as number) << 16;
    if (rest >= 2) hash ^= (key[tail + 1] as number) << 8;
    hash = Math.imul(hash ^ (key[tail] as number), mix);
  }
  hash = Math.imul(hash ^ (hash >>> 13), mix);
  return hash ^ (hash >>> 15);
};

/** The partition of `key` in a topic of `partitionCount` partitions. A string key is hashed as UTF-8. */
export const partitionForKey = (key: Uint8Array | string, partitionCount: number): number =>
  (murmur2(typeof key === 'string' ? Buffer.from(key) : key) & 0x7fffffff) % partitionCount;
