/**
 * Rows are committed in another order than their keys and cursors were given out: a row with a lower one may appear behind our back.
 * So: note the highest row, note which transactions have locks or changes of whatever table (the servers have no common list by table),
 * wait until these are done, and read no further than that row.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { quoteText } from './identifiers.ts';
import { errorNumber } from './server-errors.ts';

type Transaction = Readonly<Record<'writer' | 'own' | 'writes', string> & { statement: string | null }>;

/** https://dev.mysql.com/doc/refman/8.4/en/information-schema-innodb-trx-table.html */
const list = (mark: string): string =>
  `select /* ${mark} */ concat(trx_mysql_thread_id, ' ', trx_started) as writer, trx_mysql_thread_id = connection_id() as own,
          trx_tables_locked > 0 or trx_rows_modified > 0 as writes, trx_query as statement from information_schema.innodb_trx`;

/** The server answers from a copy of the list that it makes anew only when nobody asked for 100 ms. */
const copyLifetime = 110;
const mostAttempts = 60;

/** Transactions that are writing now; ours is never among them. */
export const currentWriters = async (session: Session): Promise<string[]> => {
  // In a transaction of our own we are in the list ourselves, with the statement that asks: that tells a new copy from an old one.
  await session.query('start transaction with consistent snapshot');
  try {
    for (let attempt = 1; attempt <= mostAttempts; attempt++) {
      const mark = randomUUID();
      const transactions = await session.query<Transaction>(list(mark));
      if (transactions.some((each) => each.own === '1' && each.statement?.includes(mark) === true)) {
        return transactions.filter((each) => each.own !== '1' && each.writes === '1').map((each) => each.writer);
      }
      await wait(copyLifetime * (1 + Math.random()));
    }
    throw new TributaryError(
      'SOURCE_FAILED',
      `MySQL at ${session.place} gives no new list of transactions: others ask for information_schema.innodb_trx all the time.`,
    );
  } finally {
    await session.query('commit').catch(() => {});
  }
};

/** @throws PERMISSION_MISSING when the server does not show the transactions of others to this user. */
export const requireWriterList = async (session: Session, user: string): Promise<void> => {
  try {
    await session.query(list('permission'));
  } catch (error) {
    if (errorNumber(error) !== 1227) throw error;
    throw new TributaryError(
      'PERMISSION_MISSING',
      `User ${user} may not see the transactions of others, so rows that are committed late could be missed. Run: GRANT PROCESS ON *.* TO ${quoteText(user)}`,
      { cause: error },
    );
  }
};
