/** Asks the thread that reads a database file. */
import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { TributaryError } from '@tributary/errors/error';
import { explainError } from './errors.ts';
import type { Answer, Question } from './query-thread.ts';
import type { Stored } from './values.ts';

export interface Found {
  readonly rows: readonly (readonly Stored[])[];
  /** About so many bytes each. */
  readonly sizes: readonly number[];
  readonly isFull: boolean;
}

export interface Reading {
  ask(question: Question): Promise<Found>;
  /** For answers of a few rows: names to values. */
  askAll(sql: string, ...parameters: Stored[]): Promise<Record<string, Stored>[]>;
  /** Closes the file until the next question. */
  letGo(): void;
  close(): void;
}

/** Milliseconds that the thread, which may block, waits for another process. */
const busyTimeout = 5_000;

/** Aborting `signal` rejects what is asked. @throws STREAM_NOT_FOUND when there is no such file. */
export const openReading = async (absolute: string, file: string, signal: AbortSignal): Promise<Reading> => {
  const info = await stat(absolute).catch(() => null);
  if (info === null) throw new TributaryError('STREAM_NOT_FOUND', `There is no file "${file}".`);
  if (!info.isFile()) throw new TributaryError('CONFIG_INVALID', `"${file}" is no file.`);
  const suffix = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./query-thread.${suffix}`, import.meta.url), { workerData: { path: absolute, busyTimeout }, env: {} });
  const waiting: { readonly resolve: (answer: Answer) => void; readonly reject: (error: unknown) => void }[] = [];
  let ended: Error | null = null;

  const end = (reason: Error): void => {
    if (ended !== null) return;
    ended = reason;
    signal.removeEventListener('abort', abort);
    for (const { reject } of waiting.splice(0)) reject(reason);
    // A query that is under way is not cut short: the thread ends after it.
    worker.terminate().catch(() => {});
  };
  function abort(): void {
    end(signal.reason as Error);
  }
  worker.on('message', (answer: Answer) => waiting.shift()?.resolve(answer));
  worker.on('error', (error) => end(explainError(error, file, 'Reading', 'source')));
  worker.on('exit', () => end(new TributaryError('SOURCE_FAILED', `The thread that reads SQLite file "${file}" ended.`)));
  // It keeps the process alive only while an answer is awaited.
  worker.unref();
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();

  const exchange = async (question: Question): Promise<Exclude<Answer, { readonly failed: unknown }>> => {
    if (ended !== null) throw ended;
    worker.ref();
    try {
      const answer = await new Promise<Answer>((resolve, reject) => {
        waiting.push({ resolve, reject });
        worker.postMessage(question);
      });
      if (!('failed' in answer)) return answer;
      const { message, errcode } = answer.failed;
      throw explainError(errcode === null ? new Error(message) : Object.assign(new Error(message), { errcode }), file, 'Reading', 'source');
    } finally {
      if (waiting.length === 0) worker.unref();
    }
  };

  return {
    ask: exchange,
    askAll: async (sql, ...parameters) => {
      const { names, rows } = await exchange({ sql, parameters, maxRows: 1_000_000, maxBytes: 1 << 28 });
      return rows.map((values) => Object.fromEntries(names.map((name, index) => [name, values[index] ?? null])));
    },
    letGo: () => {
      if (ended === null) worker.postMessage('let go');
    },
    close: () => end(new TributaryError('SOURCE_FAILED', `SQLite file "${file}" was closed.`)),
  };
};
