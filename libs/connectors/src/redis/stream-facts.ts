/** What the server knows of streams: https://valkey.io/commands/xinfo-stream/ */
import type { Redis } from 'ioredis';
import { TributaryError } from '@tributary/errors/error';
import { compareIds, type Place } from './stream-position.ts';

export interface StreamFacts {
  readonly length: number;
  /** Entries ever added; trimming and deleting do not lower it. */
  readonly added: number;
  /** The largest id there ever was. */
  readonly last: string;
  /** Were entries deleted one by one? Then how many are gone does not tell how many were trimmed. */
  readonly hasHoles: boolean;
}

/** From the reply of XINFO STREAM in RESP2: names and values in turn. */
export const readFacts = (reply: unknown): StreamFacts => {
  const facts = new Map<string, string>();
  const list = Array.isArray(reply) ? (reply as unknown[]) : [];
  for (let at = 0; at + 1 < list.length; at += 2) facts.set(String(list[at]), String(list[at + 1]));
  return {
    length: Number(facts.get('length')),
    added: Number(facts.get('entries-added')),
    last: facts.get('last-generated-id') ?? '0-0',
    hasHoles: facts.get('max-deleted-entry-id') !== '0-0',
  };
};

/**
 * The place with its count where that can be told.
 * @throws POSITION_LOST when unread entries were certainly trimmed, or the stream was certainly made anew.
 */
export const prove = (stream: string, place: Place, facts: StreamFacts): Place => {
  const { added, length } = facts;
  if (place.id === '0-0') return { ...place, count: facts.hasHoles ? null : added - length };
  const lost = (why: string): TributaryError => new TributaryError('POSITION_LOST', `Stream "${stream}" ${why} since entry ${place.id} was read.`);
  if (compareIds(place.id, facts.last) > 0) throw lost(`was made anew (its last entry is ${facts.last})`);
  if (facts.hasHoles) return { ...place, count: null };
  if (place.id === facts.last) return { ...place, count: added };
  if (place.count !== null && added < place.count) throw lost('was made anew (it was given fewer entries than were read)');
  if (place.count !== null && added - length > place.count)
    throw lost(`was trimmed past the position (${added - length - place.count} unread entries are gone)`);
  if (length === 0) throw lost('was trimmed past the position (all entries are gone)');
  return place;
};

export const isPattern = (name: string): boolean => /[*?[\\]/.test(name);

/** Keys of the streams that match, sorted. SCAN may give a key twice. */
export const findStreams = async (redis: Redis, pattern: string, atMost = Infinity): Promise<string[]> => {
  const found = new Set<string>();
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000, 'TYPE', 'stream');
    for (const key of keys) found.add(key);
    cursor = next;
  } while (cursor !== '0' && found.size < atMost);
  return [...found].sort();
};

/** @throws STREAM_NOT_FOUND when there is no such key, CONFIG_INVALID when it holds something else. */
export const factsOf = async (redis: Redis, stream: string): Promise<StreamFacts> => {
  const type = await redis.type(stream);
  if (type === 'none') throw notFound(stream);
  if (type !== 'stream') throw new TributaryError('CONFIG_INVALID', `Key "${stream}" holds a ${type}, not a stream. Only streams can be read.`);
  return readFacts(await redis.call('XINFO', 'STREAM', stream));
};

export const notFound = (stream: string): TributaryError => new TributaryError('STREAM_NOT_FOUND', `There is no stream "${stream}" in this database.`);
