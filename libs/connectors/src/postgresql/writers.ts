/**
 * Rows are committed in another order than their keys and cursors were given out: a row with a lower one may appear behind our back.
 * Whoever writes to a table holds a lock on it from before the key is made until the commit (https://www.postgresql.org/docs/current/explicit-locking.html),
 * so: note the highest row, note who is writing, wait until these are done, and read no further than that row.
 */
import type { Session } from './connect.ts';

/** Transactions that are writing to the table or one of its partitions now; ours is never among them. */
export const currentWriters = async (session: Session, oid: string): Promise<string[]> => {
  const rows = await session.query<{ writer: string }>(
    `select distinct virtualtransaction || ' ' || coalesce(pid, 0) as writer from pg_locks
      where locktype = 'relation' and granted and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        and database = (select oid from pg_database where datname = current_database())
        and relation in (select $1::oid union all select relid from pg_partition_tree($1::oid::regclass)) and pid is distinct from pg_backend_pid()`,
    [oid],
  );
  return rows.map((row) => row.writer);
};
