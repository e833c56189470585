/** The log lines of pipelines and connections, kept in Redis streams that the gateway shows. Sentences, never secrets (I6). */
import type { ConnectorLog } from '@tributary/connector-sdk/source';
import type { Redis } from '@tributary/jobs/redis';
import type { Logger } from '@tributary/runtime/logger';

export interface LogSubject {
  readonly pipeline_id: string;
  readonly subscription_id: string;
  readonly slice: number;
  readonly worker: string;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFacts = Readonly<Record<string, unknown>>;

export interface SlotLog extends ConnectorLog {
  error(message: string, facts?: LogFacts): void;
  /** From now on lines are on the streams of these connections too, and name the pipeline. */
  concerns(about: { readonly pipelineName: string; readonly connectionIds: readonly string[] }): void;
  /** I6: texts that must not appear in any line from now on. */
  hide(secrets: readonly string[]): void;
  /** I6: `text` without what is hidden, for reports. */
  clean(text: string): string;
}

export interface PipelineLogs {
  of(subject: LogSubject): SlotLog;
  close(): Promise<void>;
}

const keptLines = 2000;
const keptSeconds = 7 * 24 * 3600;
const flushMs = 150;
const mostBuffered = 2000;
const burst = 60;
const linesPerSecond = 5;
const longestMessage = 2000;

export const pipelineLogKey = (namespace: string, id: string): string => `${namespace}:logs:pipeline:${id}`;
export const connectionLogKey = (namespace: string, id: string): string => `${namespace}:logs:connection:${id}`;

/** Lines a stream may still take; refills with time. */
interface Bucket {
  tokens: number;
  at: number;
  dropped: number;
}

const simple = (value: unknown): value is string | number | boolean => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
const secretName = /pass(word|wd)?|secret|token|credential|authorization|api_?key|private|^(key|cert)$/i;

export const openPipelineLogs = (redis: Redis, namespace: string, log: Logger): PipelineLogs => {
  let buffer: { key: string; line: string }[] = [];
  const buckets = new Map<string, Bucket>();
  let timer: NodeJS.Timeout | null = null;
  let flushing: Promise<void> = Promise.resolve();

  const flush = async (): Promise<void> => {
    // With Redis away lines wait in here, bounded, rather than in the client's queue without bounds.
    if (buffer.length === 0 || redis.status !== 'ready') return;
    const lines = buffer;
    buffer = [];
    const batch = redis.pipeline();
    for (const { key, line } of lines) batch.xadd(key, 'MAXLEN', '~', keptLines, '*', 'line', line);
    for (const key of new Set(lines.map((line) => line.key))) batch.expire(key, keptSeconds);
    await batch.exec().catch((error: unknown) => log.debug({ err: error }, 'Log lines could not be stored'));
  };

  const schedule = (): void => {
    timer ??= setTimeout(() => {
      timer = null;
      flushing = flush();
      if (buffer.length > 0) schedule();
    }, flushMs);
  };

  const push = (key: string, line: string): void => {
    if (buffer.length >= mostBuffered) buffer.shift();
    buffer.push({ key, line });
    schedule();
  };

  /** How many lines were left out before this one, or null when this one is to be left out as well. */
  const admit = (key: string, level: LogLevel): number | null => {
    const now = performance.now();
    const bucket = buckets.get(key) ?? { tokens: burst, at: now, dropped: 0 };
    buckets.set(key, bucket);
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * linesPerSecond);
    bucket.at = now;
    if (bucket.tokens < 1 && level !== 'error') {
      bucket.dropped += 1;
      return null;
    }
    bucket.tokens -= 1;
    const { dropped } = bucket;
    bucket.dropped = 0;
    return dropped;
  };

  const of = (subject: LogSubject): SlotLog => {
    const service = log.child(subject);
    let hidden: string[] = [];
    const clean = (text: string): string => hidden.reduce((shown, secret) => shown.replaceAll(secret, '«redacted»'), text);

    const keys = new Set([pipelineLogKey(namespace, subject.pipeline_id)]);
    let named: LogFacts = {};

    const write = (level: LogLevel, message: string, facts: LogFacts): void => {
      const shown = clean(message).slice(0, longestMessage);
      const shownFacts = Object.fromEntries(
        Object.entries(facts)
          .filter(([name, value]) => simple(value) && !secretName.test(name))
          .map(([name, value]) => [name, typeof value === 'string' ? clean(value).slice(0, longestMessage) : value]),
      );
      service[level](shownFacts, shown);
      if (level === 'debug') return;
      // One line, the same in every log that it concerns.
      const at = new Date().toISOString();
      const line = (text: string, more: LogFacts): string => JSON.stringify({ at, level, message: text, ...named, ...subject, ...more });
      for (const key of keys) {
        const dropped = admit(key, level);
        if (dropped === null) continue;
        if (dropped > 0) push(key, line(`${dropped} lines were left out, since they came too fast.`, {}));
        push(key, line(shown, shownFacts));
      }
    };
    return {
      debug: (message, facts = {}) => write('debug', message, facts),
      info: (message, facts = {}) => write('info', message, facts),
      warn: (message, facts = {}) => write('warn', message, facts),
      error: (message, facts = {}) => write('error', message, facts),
      clean,
      concerns: ({ pipelineName, connectionIds }) => {
        named = { pipeline: pipelineName };
        for (const id of connectionIds) keys.add(connectionLogKey(namespace, id));
      },
      hide: (secrets) => {
        // The longest first: one may be part of another. Very short ones would tear holes into every sentence.
        hidden = [...new Set([...hidden, ...secrets.filter((secret) => secret.length >= 4)])].toSorted((a, b) => b.length - a.length);
      },
    };
  };

  return {
    of,
    close: async () => {
      if (timer !== null) clearTimeout(timer);
      await flushing;
      await flush();
    },
  };
};
