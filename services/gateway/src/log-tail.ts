/** Follows log streams in Redis for many listeners over one blocking connection. */
import { messageOf } from '@tributary/errors/error';
import type { Logger } from '@tributary/runtime/logger';
import { Redis } from 'ioredis';

/** One stored line: its stream id, and the JSON text the worker wrote. */
export interface LogLine {
  readonly id: string;
  readonly text: string;
}

export interface LogTail {
  /** The newest `limit` lines, oldest first. */
  history(stream: string, limit: number): Promise<LogLine[]>;
  /** Calls `onLine` for each line after `afterId`, in order, until the returned function is called. */
  follow(stream: string, afterId: string, onLine: (line: LogLine) => void): () => void;
  check(): string | null;
  close(): Promise<void>;
}

interface Listener {
  after: string;
  readonly onLine: (line: LogLine) => void;
}

const blockMs = 400;

const lineOf = ([id, fields]: [string, string[]]): LogLine => ({ id, text: fields[fields.indexOf('line') + 1] ?? '' });

/** Order of Redis stream ids `<milliseconds>-<number>`. */
const isAfter = (a: string, b: string): boolean => {
  const [am = '0', an = '0'] = a.split('-');
  const [bm = '0', bn = '0'] = b.split('-');
  return am.length === bm.length && am === bm ? BigInt(an) > BigInt(bn) : BigInt(am) > BigInt(bm);
};

export const openLogTail = (redisUrl: string, log: Logger): LogTail => {
  const options = { maxRetriesPerRequest: null, enableReadyCheck: true } as const;
  const reader = new Redis(redisUrl, options);
  const blocking = new Redis(redisUrl, options);
  for (const connection of [reader, blocking]) connection.on('error', (error: Error) => log.warn({ reason: messageOf(error) }, 'Redis connection trouble'));
  const streams = new Map<string, Set<Listener>>();
  let closed = false;
  let wake = Promise.withResolvers<void>();

  const round = async (): Promise<void> => {
    const names = [...streams.keys()];
    const starts = names.map((name) => [...(streams.get(name) ?? [])].map((listener) => listener.after).reduce((a, b) => (isAfter(a, b) ? b : a)));
    const answer = await blocking.xread('COUNT', 500, 'BLOCK', blockMs, 'STREAMS', ...names, ...starts);
    for (const [name, entries] of answer ?? []) {
      for (const entry of entries) {
        const line = lineOf(entry);
        for (const listener of streams.get(name) ?? []) {
          if (!isAfter(line.id, listener.after)) continue;
          listener.after = line.id;
          listener.onLine(line);
        }
      }
    }
  };

  const run = async (): Promise<void> => {
    while (!closed) {
      if (streams.size === 0) {
        await wake.promise;
        wake = Promise.withResolvers<void>();
        continue;
      }
      await round().catch((error: unknown) => {
        if (!closed) log.warn({ reason: messageOf(error) }, 'Log streams could not be read, trying again');
      });
    }
  };
  const running = run();

  return {
    history: async (stream, limit) => ((await reader.xrevrange(stream, '+', '-', 'COUNT', limit)) as [string, string[]][]).map(lineOf).toReversed(),
    follow: (stream, afterId, onLine) => {
      const listener: Listener = { after: afterId, onLine };
      streams.set(stream, (streams.get(stream) ?? new Set()).add(listener));
      wake.resolve();
      return () => {
        const listeners = streams.get(stream);
        listeners?.delete(listener);
        if (listeners?.size === 0) streams.delete(stream);
      };
    },
    check: () => (reader.status === 'ready' ? null : `Redis is ${reader.status}`),
    close: async () => {
      closed = true;
      wake.resolve();
      blocking.disconnect();
      reader.disconnect();
      await running;
    },
  };
};
