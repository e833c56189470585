/** Streams as batches of rows, without a consumer group: the position says all. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { ReadOptions, Reader } from '@tributary/connector-sdk/source';
import type { Position, RowBatch } from '@tributary/contracts/ops';
import { createRowMaker, weightOf, type Entry, type EntryFormat } from './entry-rows.ts';
import { notFound, prove, readFacts, type StreamFacts } from './stream-facts.ts';
import { beginning, compareIds, readPlace, timeOf, writePlace, type Place } from './stream-position.ts';

export interface StreamsOptions {
  /** Runs `work` on a connection, again on a new one for a while when that breaks. */
  readonly ask: <Result>(work: (redis: Redis) => Promise<Result>, signal: AbortSignal) => Promise<Result>;
  /** The streams of this slice as they are now. */
  readonly streams: (redis: Redis) => Promise<string[]>;
  /** Streams of a pattern come and go; a single one that is gone is an error. */
  readonly isPattern: boolean;
  readonly mode: 'continuous' | 'once';
  readonly format: EntryFormat;
}

/** How often a pattern is looked at for new streams; where that takes long, for it looks at every key, less often. */
const growthMs = 5_000;
const growthShare = 20;
const idleMs = 500;
/** The server counts entries, not bytes: when they grow all at once, so many of the larger ones come before fewer are asked for. */
const mostFetched = 1_000;
/** Asked for before anything is known of their size. */
const firstFetched = 16;
/** Streams asked for in one transaction. */
const groupSize = 64;

interface Pending {
  readonly stream: string;
  readonly entries: readonly Entry[];
  /** The place before the entry at `taken`. */
  place: Place;
  taken: number;
}

interface Fetched {
  readonly stream: string;
  /** null: the stream is gone. */
  readonly facts: StreamFacts | null;
  readonly entries: readonly Entry[];
}

export const openStreams = (options: StreamsOptions, from: Position, read: ReadOptions): Reader => {
  const { ask, mode, isPattern } = options;
  /** Stream → what was handed on. */
  const handed = new Map<string, Place>();
  /** Stream → what was fetched. */
  const fetched = new Map<string, Place>();
  /** Stream → last id to hand on, in mode `once`; absent: all of it was. */
  const ends = new Map<string, string>();
  for (const [stream, text] of Object.entries(from)) handed.set(stream, readPlace(stream, text));
  let streams: string[] = [];
  const pending: Pending[] = [];
  let lookedAt = 0;
  /** Where the next round through the streams goes on. */
  let turn = 0;
  let averageBytes: number | null = null;
  let lookEveryMs = growthMs;
  let wasFetched = false;
  /** Goes on when `next` was aborted, so that nothing fetched is dropped. */
  let fetching: Promise<'some' | 'none'> | null = null;

  const look = async (redis: Redis): Promise<void> => {
    if (lookedAt !== 0 && (mode === 'once' || !isPattern || performance.now() - lookedAt < lookEveryMs)) return;
    const started = performance.now();
    streams = await options.streams(redis);
    for (const stream of streams) {
      if (!handed.has(stream)) handed.set(stream, beginning);
      if (!fetched.has(stream)) fetched.set(stream, handed.get(stream) ?? beginning);
    }
    lookedAt = performance.now();
    lookEveryMs = Math.max(growthMs, (lookedAt - started) * growthShare);
  };

  /** XINFO and XREAD in one transaction: what is told of a stream is true of the entries that come with it. */
  const readGroup = async (redis: Redis, group: readonly string[], count: number): Promise<Fetched[]> => {
    const ids = group.map((stream) => fetched.get(stream)?.id ?? beginning.id);
    const queued = [
      redis.call('MULTI'),
      ...group.map((stream) => redis.call('XINFO', 'STREAM', stream)),
      redis.call('XREAD', 'COUNT', count, 'STREAMS', ...group, ...ids),
    ];
    // A command that is refused rejects before EXEC does, and says why.
    const [replies] = (await Promise.all([redis.callBuffer('EXEC'), ...queued])) as [unknown[]];
    const found = replies.at(-1);
    if (found instanceof Error) throw found;
    const entries = new Map<string, readonly Entry[]>();
    for (const [stream, list] of (found ?? []) as [Buffer, [Buffer, Buffer[]][]][])
      entries.set(
        stream.toString(),
        list.map(([id, fields]) => ({ id: id.toString('latin1'), fields })),
      );
    return group.map((stream, index) => {
      const facts = replies[index];
      if (facts instanceof Error && !/no such key/i.test(facts.message)) throw facts;
      return { stream, facts: facts instanceof Error ? null : readFacts(facts), entries: entries.get(stream) ?? [] };
    });
  };

  const take = ({ stream, facts, entries }: Fetched): void => {
    if (facts === null) {
      ends.delete(stream);
      if (!isPattern) throw notFound(stream);
      return;
    }
    const place = prove(stream, fetched.get(stream) ?? beginning, facts);
    if (mode === 'once' && !wasFetched) ends.set(stream, facts.last);
    const end = mode === 'once' ? (ends.get(stream) ?? '0-0') : null;
    // What was added after a run that ends began is for the next run.
    const kept = end === null ? entries : entries.filter(({ id }) => compareIds(id, end) <= 0);
    if (mode === 'once' && (kept.length === 0 || kept.length < entries.length || kept.at(-1)?.id === end)) ends.delete(stream);
    fetched.set(stream, { id: kept.at(-1)?.id ?? place.id, count: place.count === null ? null : place.count + kept.length });
    if (kept.length > 0) pending.push({ stream, entries: kept, place, taken: 0 });
    else handed.set(stream, place);
  };

  const fetch = async (signal: AbortSignal): Promise<'some' | 'none'> =>
    ask(async (redis) => {
      await look(redis);
      const open = mode === 'once' && wasFetched ? streams.filter((stream) => ends.has(stream)) : streams;
      const fitting = averageBytes === null ? firstFetched : Math.max(1, Math.floor(read.maxBytes / averageBytes));
      const wanted = Math.min(read.maxRows, mostFetched, fitting);
      let bytes = 0;
      let count = 0;
      // The first round looks at every stream, since it says where they end.
      for (let seen = 0; seen < open.length && (pending.length === 0 || (mode === 'once' && !wasFetched)); seen += groupSize) {
        if (turn >= open.length) turn = 0;
        const group = open.slice(turn, turn + groupSize);
        turn += groupSize;
        for (const one of await readGroup(redis, group, Math.max(1, Math.floor(wanted / group.length)))) {
          take(one);
          count += one.entries.length;
          for (const entry of one.entries) bytes += weightOf(entry);
        }
      }
      wasFetched = true;
      if (count > 0) averageBytes = bytes / count;
      if (pending.length > 0) return 'some';
      if (mode === 'continuous') await wait(redis, open, signal);
      return 'none';
    }, signal);

  /** Until something is added, or a moment has passed. What comes is fetched again, with its facts. */
  const wait = async (redis: Redis, open: readonly string[], signal: AbortSignal): Promise<void> => {
    if (open.length === 0) await sleep(idleMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    else await redis.xreadBuffer('COUNT', 1, 'BLOCK', idleMs, 'STREAMS', ...open, ...open.map((stream) => fetched.get(stream)?.id ?? beginning.id));
  };

  const nextBatch = (): RowBatch => {
    const maker = createRowMaker(options.format);
    let bytes = 0;
    let count = 0;
    let newestAt: number | null = null;
    for (let current = pending[0]; current !== undefined; current = pending[0]) {
      const { stream, entries, place } = current;
      const first = current.taken;
      let isFull = false;
      for (; current.taken < entries.length; current.taken++) {
        const entry = entries[current.taken] as Entry;
        const weight = weightOf(entry);
        isFull = count === read.maxRows || (count > 0 && bytes + weight > read.maxBytes);
        if (isFull) break;
        maker.add(stream, entry);
        bytes += weight;
        count++;
      }
      const last = entries[current.taken - 1];
      if (last !== undefined && current.taken > first) {
        const madeAt = timeOf(last.id);
        if (madeAt !== null && madeAt > (newestAt ?? 0)) newestAt = madeAt;
        current.place = { id: last.id, count: place.count === null ? null : place.count + current.taken - first };
        handed.set(stream, current.place);
      }
      if (isFull) break;
      pending.shift();
    }
    const ops = maker.ops();
    return {
      kind: 'rows',
      rows: maker.rows,
      ...(ops === undefined ? {} : { ops }),
      originOf: maker.originOf,
      unreadable: maker.unreadable,
      position: Object.fromEntries([...handed].map(([stream, place]) => [stream, writePlace(place)])),
      bytes,
      newestAt,
    };
  };

  return {
    next: async (signal) => {
      signal.throwIfAborted();
      if (pending.length > 0) return nextBatch();
      if (mode === 'once' && wasFetched && ends.size === 0) return 'end';
      fetching ??= fetch(signal).finally(() => (fetching = null));
      const got = await abortable(fetching, signal);
      if (got === 'some') return nextBatch();
      return mode === 'once' && ends.size === 0 ? 'end' : 'idle';
    },
  };
};

/** Settles as `promise` does, or rejects with the signal's reason, whichever comes first. */
const abortable = async <Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> => {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  // What loses the race must not end the process when it fails.
  promise.catch(() => {});
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
};
