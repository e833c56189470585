/**
 * The one writing connection to each database file in this process, shared by all slots that write it; their transactions take turns.
 *
 * node:sqlite works on the calling thread. A delivery is therefore written in steps of a few milliseconds, with the event loop running
 * in between; moving the rows to a thread would cost more than writing them. Waiting for a lock never blocks: SQLite's own busy timeout
 * is off, and the begin of a transaction is tried again from a timer.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { TributaryError } from '@tributary/errors/error';
import { explainError, isBusy } from './errors.ts';

export interface Database {
  /** Runs `work` in a transaction that nobody else's can come between. Ends it by `end`, or rolls back what throws. */
  transaction<Result>(signal: AbortSignal, end: 'COMMIT' | 'ROLLBACK', work: (connection: DatabaseSync) => Promise<Result>): Promise<Result>;
  /** The last to close lets go of the file. */
  close(): Promise<void>;
}

interface Shared {
  readonly connection: DatabaseSync;
  users: number;
  /** Settles when the last of the work queued up to now has ended. */
  turn: Promise<unknown>;
}

const openFiles = new Map<string, Promise<Shared>>();
const lockRetry = 10;

/** Runs `attempt` until no other process is in its way, or the time is up. */
const whenUnlocked = async <Result>(milliseconds: number, signal: AbortSignal, attempt: () => Result): Promise<Result> => {
  const until = Date.now() + milliseconds;
  for (;;) {
    signal.throwIfAborted();
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || Date.now() >= until) throw error;
    }
    await wait(lockRetry, undefined, { signal });
  }
};

const openShared = async (absolute: string, file: string, lockTimeout: number, signal: AbortSignal): Promise<Shared> => {
  let connection: DatabaseSync | null = null;
  try {
    await mkdir(path.dirname(absolute), { recursive: true });
    const opened = new DatabaseSync(absolute, { timeout: 0 });
    connection = opened;
    await whenUnlocked(lockTimeout, signal, () => {
      // I1: FULL syncs the log at every commit, so what was said to be committed survives a loss of power.
      // A file that somebody else made may hold views and triggers: they get no say beyond SQL.
      opened.exec('PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; SELECT count(*) FROM sqlite_schema');
    });
    return { connection: opened, users: 0, turn: Promise.resolve() };
  } catch (error) {
    connection?.close();
    signal.throwIfAborted();
    throw explainError(error, file, 'Opening', 'target');
  }
};

/** Opens `absolute`, or shares what is open. `file` is its name for messages; `lockTimeout` is in milliseconds. */
export const openDatabase = async (absolute: string, file: string, lockTimeout: number, signal: AbortSignal): Promise<Database> => {
  let opening = openFiles.get(absolute);
  if (opening === undefined) {
    opening = openShared(absolute, file, lockTimeout, signal);
    openFiles.set(absolute, opening);
    opening.catch(() => openFiles.delete(absolute));
  }
  const shared = await opening;
  // The last user may have closed it while this one waited.
  if (openFiles.get(absolute) !== opening) return openDatabase(absolute, file, lockTimeout, signal);
  shared.users += 1;
  let closed = false;
  const { connection } = shared;

  const run = async <Result>(aborted: AbortSignal, end: 'COMMIT' | 'ROLLBACK', work: (connection: DatabaseSync) => Promise<Result>): Promise<Result> => {
    if (closed) throw new TributaryError('TARGET_FAILED', `SQLite file "${file}" was closed meanwhile.`);
    // IMMEDIATE: the lock is had now or not at all, so nothing later in the transaction waits for another process.
    await whenUnlocked(lockTimeout, aborted, () => connection.exec('BEGIN IMMEDIATE'));
    try {
      const result = await work(connection);
      connection.exec(end);
      return result;
    } catch (error) {
      if (connection.isTransaction) connection.exec('ROLLBACK');
      throw error;
    }
  };

  return {
    transaction: (aborted, end, work) => {
      const result = shared.turn.then(() => run(aborted, end, work));
      shared.turn = result.catch(() => {});
      return result;
    },
    close: async () => {
      if (closed) return;
      await shared.turn;
      closed = true;
      shared.users -= 1;
      if (shared.users > 0) return;
      openFiles.delete(absolute);
      connection.close();
    },
  };
};

/** `name` as an SQL identifier. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** SQLite compares names without regard to the case of ASCII letters. */
export const folded = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
