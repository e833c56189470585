/** Reads streams by entry id. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { OpenSourceContext, Source, SourceConnector } from '@tributary/connector-sdk/source';
import { asTributaryError, TributaryError } from '@tributary/errors/error';
import { testConnection } from './check.ts';
import type { RedisSourceConfig } from './config.ts';
import { openSession, using, type Session } from './connect.ts';
import { previewOf, type EntryFormat } from './entry-rows.ts';
import { openStreams } from './source-reader.ts';
import { factsOf, findStreams, isPattern } from './stream-facts.ts';
import { beginning, compareIds, idBefore, mergePositions, readPlace, timeOf, writePlace, type Place } from './stream-position.ts';

/** Streams that are listed, and of a pattern those that are looked into for a preview. */
const listedStreams = 10_000;
const sampledStreams = 20;
/** How long broken connections are made anew. */
const retryMs = 30_000;

const nameOf = (config: RedisSourceConfig, stream: string | null): string => {
  const name = stream ?? config.stream;
  if (name === undefined) throw new TributaryError('CONFIG_INVALID', 'Neither the data model nor the connection names a stream. Set "stream".');
  return name;
};

const formatOf = (config: RedisSourceConfig): EntryFormat => ({
  jsonField: config.json_field,
  operationField: config.operation_field,
  includeMetadata: config.include_metadata,
});

/** The same slice for a stream in every process and at all times. */
const sliceOf = (stream: string, slices: number): number => createHash('sha256').update(stream).digest().readUInt32BE(0) % slices;

const openSource = async (config: RedisSourceConfig, context: OpenSourceContext): Promise<Source> => {
  const name = nameOf(config, context.stream);
  const connecting = { side: 'source', signal: context.signal } as const;
  let session: Session | null = await openSession(config, connecting);
  let readerSession: Session | null = null;
  let isClosed = false;

  const ownStreams = async (redis: Redis): Promise<string[]> => {
    const all = isPattern(name) ? await findStreams(redis, name) : [name];
    if (!isPattern(name)) await factsOf(redis, name);
    return all.filter((stream) => sliceOf(stream, context.slices) === context.slice);
  };

  const onSession = async <Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> => {
    session ??= await openSession(config, connecting);
    const current = session;
    try {
      return await work(current.redis);
    } catch (error) {
      const explained = current.explain(error);
      if (isBroken(explained)) {
        current.close();
        session = null;
      }
      throw explained;
    }
  };

  /** The reader's own connection: it is blocked while it waits for entries. */
  const ask = async <Result>(work: (redis: Redis) => Promise<Result>, signal: AbortSignal): Promise<Result> => {
    const until = performance.now() + retryMs;
    for (let pause = 100; ; pause = Math.min(pause * 2, 3_000)) {
      try {
        readerSession ??= await openSession(config, connecting);
        return await work(readerSession.redis);
      } catch (error) {
        const explained = readerSession?.explain(error) ?? asTributaryError(error);
        readerSession?.close();
        readerSession = null;
        if (isClosed || !isBroken(explained) || performance.now() + pause > until) throw explained;
        context.log.warn('The connection to Redis broke; it is made anew.', { reason: explained.message });
        await sleep(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  };

  const firstPlace = async (redis: Redis, stream: string): Promise<Place> => {
    if (context.backfill) return beginning;
    const facts = await factsOf(redis, stream);
    const started = idBefore(context.startedAt.getTime());
    // An id that is no time says nothing about when it was made: then what is there now was before.
    if (compareIds(facts.last, started) <= 0 || timeOf(facts.last) === null) return { id: facts.last, count: facts.hasHoles ? null : facts.added };
    return { id: started, count: null };
  };

  return {
    formats: [],
    schema: async () => null,
    firstPosition: () =>
      onSession(async (redis) => {
        const position: Record<string, string> = {};
        for (const stream of await ownStreams(redis)) position[stream] = writePlace(await firstPlace(redis, stream));
        return position;
      }),
    mergePositions,
    read: (from, options) => {
      if (options.format !== 'rows') throw new TributaryError('UNSUPPORTED', `The Redis source hands on rows, not ${options.format}.`);
      return openStreams({ ask, streams: ownStreams, isPattern: isPattern(name), mode: context.mode, format: formatOf(config) }, from, options);
    },
    lag: (position) =>
      onSession(async (redis) => {
        let lag = 0;
        for (const [stream, text] of Object.entries(position)) {
          if ((await redis.exists(stream)) === 0) continue;
          const facts = await factsOf(redis, stream);
          const place = readPlace(stream, text);
          if (place.id === '0-0') lag += facts.length;
          else if (compareIds(place.id, facts.last) < 0) {
            if (place.count === null || facts.hasHoles) return null;
            lag += Math.max(0, facts.added - place.count);
          }
        }
        return lag;
      }),
    close: async () => {
      isClosed = true;
      session?.close();
      readerSession?.close();
    },
  };
};

const isBroken = (error: Error): boolean => error instanceof TributaryError && (error.code === 'HOST_UNREACHABLE' || error.code === 'TIMEOUT');

export const redisSource: SourceConnector<RedisSourceConfig> = {
  check: (config, context) =>
    testConnection(config, context, 'source', [
      {
        name: 'streams',
        run: async ({ redis }) => {
          const { stream } = config;
          if (stream === undefined) return `${(await findStreams(redis, '*', 1_000)).length} streams may be seen.`;
          if (isPattern(stream)) return `${(await findStreams(redis, stream, listedStreams)).length} streams match "${stream}".`;
          return `Stream "${stream}" has ${(await factsOf(redis, stream)).length} entries.`;
        },
      },
    ]),
  streams: (config, context) =>
    using(config, { side: 'source', signal: context.signal }, async ({ redis }) =>
      (await findStreams(redis, '*', listedStreams)).slice(0, listedStreams).map((name) => ({ name, schema: null })),
    ),
  sample: (config, context) =>
    using(config, { side: 'source', signal: context.signal }, async ({ redis }) => {
      const name = nameOf(config, context.stream);
      if (!isPattern(name)) await factsOf(redis, name);
      const streams = isPattern(name) ? (await findStreams(redis, name)).slice(0, sampledStreams) : [name];
      const found = [];
      for (const stream of streams) {
        for (const [id, fields] of await redis.xrevrangeBuffer(stream, '+', '-', 'COUNT', context.limit)) found.push({ stream, id: id.toString(), fields });
      }
      return found
        .toSorted((one, other) => compareIds(one.id, other.id))
        .slice(-context.limit)
        .map((entry) => previewOf(entry.stream, entry, formatOf(config)));
    }),
  open: openSource,
};
