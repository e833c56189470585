import { setTimeout as wait } from 'node:timers/promises';
import type { Session } from './connect.ts';
import { isConcurrencyError, isMadeMeanwhile, sqlState } from './server-errors.ts';

/** Runs `work` in one transaction; what it throws is thrown as it is, after the rollback. */
export const inTransaction = async <Result>(session: Session, work: () => Promise<Result>): Promise<Result> => {
  await session.query('begin');
  try {
    const result = await work();
    await session.query('commit');
    return result;
  } catch (error) {
    // Where the connection is gone the server rolls back by itself.
    await session.query('rollback').catch(() => {});
    throw error;
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

/**
 * Changes tables in a transaction of its own: one such change of ours at a time, and waiting for a lock never longer than 5 s at once,
 * because everybody else who wants the table waits behind us. `change` must look first at what is there.
 */
export const changeTables = async <Result>(session: Session, name: string, change: () => Promise<Result>): Promise<Result> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await inTransaction(session, async () => {
        await session.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`tributary ${name}`]);
        await session.query(`set local lock_timeout = '5s'`);
        return await change();
      });
    } catch (error) {
      if (attempt >= 4 || !(isMadeMeanwhile(error) || isConcurrencyError(error) || sqlState(error) === '55P03')) throw error;
      await wait(Math.random() * 50 * 2 ** attempt);
    }
  }
};
