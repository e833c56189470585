/** Transactions and changes of tables. The server commits before and after every change of a table, so these two never mix. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Session } from './connect.ts';
import { lockName, quoteText } from './identifiers.ts';
import { errorNumber, isConcurrencyError, isMadeMeanwhile } from './server-errors.ts';

/** A zombie that stands still in a transaction must not block its heir for long, in seconds. */
const idleLimit = 20;
/** The server's default, for between transactions. */
const usualLimit = 28_800;

/** Runs `work` in one transaction; what it throws is thrown as it is, after the rollback. */
export const inTransaction = async <Result>(session: Session, work: () => Promise<Result>): Promise<Result> => {
  const limit = (seconds: number): Promise<unknown> => session.run(`set session wait_timeout = ${seconds}`);
  await limit(idleLimit);
  await session.run('start transaction');
  try {
    const result = await work();
    await session.run('commit');
    return result;
  } catch (error) {
    // Where the connection is gone the server rolls back by itself.
    await session.run('rollback').catch(() => {});
    throw error;
  } finally {
    // Of a lost connection nothing is left to set.
    await limit(usualLimit).catch(() => {});
  }
};

/** Repeats a transaction that lost against another through no fault of its own. */
export const withRetries = async <Result>(work: () => Promise<Result>): Promise<Result> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= 6 || !isConcurrencyError(error)) throw error;
      await wait(Math.random() * 50 * 2 ** attempt);
    }
  }
};

/** Runs `work` while this session alone holds the lock, or after 10 s of waiting for it: `work` must not depend on being alone. */
export const withLock = async <Result>(session: Session, name: string, work: () => Promise<Result>): Promise<Result> => {
  await session.query(`select get_lock(${quoteText(name)}, 10)`);
  try {
    return await work();
  } finally {
    await session.query(`select release_lock(${quoteText(name)})`).catch(() => {});
  }
};

/**
 * Changes tables outside of any transaction, one change of ours at a time, and waiting for a table never longer than 10 s at once, because
 * everybody else who wants it waits behind us. `change` must look first at what is there: it may run twice, and stop half-way.
 */
export const changeTables = async <Result>(session: Session, database: string, table: string, change: () => Promise<Result>): Promise<Result> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await withLock(session, lockName('table', database, table), change);
    } catch (error) {
      if (attempt >= 4 || !(isMadeMeanwhile(error) || isConcurrencyError(error))) throw error;
      await wait(Math.random() * 50 * 2 ** attempt);
    }
  }
};

/**
 * A CREATE or ALTER TABLE. InnoDB refuses tables of which a row could be too long, such as 200 texts, even if no row is; where the user may, it is
 * told to let them be. A row that is too long after all is refused when it comes.
 */
export const changeTable = async (session: Session, statement: string): Promise<void> => {
  try {
    await session.query(statement);
  } catch (error) {
    if (errorNumber(error) !== 1118) throw error;
    try {
      await session.query('set session innodb_strict_mode = off');
    } catch {
      throw error;
    }
    await session.query(statement);
    await session.query('set session innodb_strict_mode = on');
  }
};
