/**
 * The table of checkpoints beside the data: position, counts and owner of every slot. A claim makes its caller the only owner,
 * and every commit is conditional on still being it.
 */
import { randomUUID } from 'node:crypto';
import type { Checkpoint, Slot } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { lockName, quoteName, quoteText } from './identifiers.ts';
import { engineOf, requireTransactions } from './table-shape.ts';
import { changeTables, inTransaction, withLock, withRetries } from './transaction.ts';

const tableName = '_tributary_checkpoints';
const name = quoteName(tableName);

export interface Claim {
  readonly own: Checkpoint | null;
  readonly others: readonly Checkpoint[];
  /** Names this claim; a later claim of the slot, or of another layout, replaces it. */
  readonly token: string;
}

type CheckpointRow = Readonly<Record<'slices' | 'slice' | 'epoch', string> & Record<'position' | 'counts' | 'claimed_by', string | null>>;

export const createCheckpointTable = async (session: Session, database: string): Promise<void> => {
  let engine = await engineOf(session, tableName);
  if (engine === null) {
    await changeTables(session, database, tableName, async () => {
      await session.query(
        `create table if not exists ${name} (
           subscription_id varchar(255) character set utf8mb4 collate utf8mb4_bin not null, slices int not null, slice int not null,
           epoch bigint not null, claimed_by varchar(36), position longtext character set utf8mb4, counts longtext character set utf8mb4,
           updated_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6), table_name varchar(64) character set utf8mb4 not null,
           primary key (subscription_id, slices, slice)) engine = InnoDB row_format = dynamic`,
      );
    });
    engine = await engineOf(session, tableName);
  }
  requireTransactions(tableName, engine);
};

/** Writes, changes, reads and deletes a row, and takes it all back: for the connection test. */
export const tryCheckpoint = async (session: Session): Promise<void> => {
  await session.query('start transaction');
  try {
    const trial = `subscription_id = ${quoteText(`trial ${randomUUID()}`)}`;
    await session.run(`insert into ${name} set ${trial}, slices = 1, slice = 0, epoch = 0, table_name = ''`);
    await session.run(`update ${name} set epoch = 1 where ${trial}`);
    await session.run(`delete from ${name} where ${trial}`);
  } finally {
    await session.query('rollback');
  }
};

/**
 * I2: makes the caller the owner of the slot, and only then reads the checkpoints.
 * @throws FENCED when a newer epoch owns it.
 */
export const claimSlot = async (session: Session, database: string, slot: Slot, epoch: number, table: string): Promise<Claim> => {
  const subscription = `subscription_id = ${quoteText(slot.subscriptionId)}`;
  const known = await session.query<CheckpointRow>(`select slices, slice, epoch from ${name} where ${subscription}`);
  const isOwn = (row: CheckpointRow): boolean => Number(row.slices) === slot.slices && Number(row.slice) === slot.slice;
  const refuseOlder = (row: CheckpointRow | undefined): void => {
    if (row !== undefined && Number(row.epoch) > epoch) throw fenced(slot, epoch);
  };
  refuseOlder(known.find(isOwn));
  const outdated = known.filter((row) => isOwn(row) || Number(row.slices) !== slot.slices);
  for (const row of outdated) await endOwner(session, ownerLock(database, slot, row.slices, row.slice));
  const token = randomUUID();
  // Claims of one subscription one after the other, so that two layouts do not wait for each other's rows.
  const claim = await withLock(session, lockName('claim', database, slot.subscriptionId), () =>
    withRetries(() =>
      inTransaction(session, async () => {
        const before = await session.query<CheckpointRow>(
          `select slices, slice, epoch, position, counts, claimed_by from ${name} where ${subscription} order by slices, slice for update`,
        );
        const own = before.find(isOwn);
        refuseOlder(own);
        await session.run(
          `insert into ${name} (subscription_id, slices, slice, epoch, claimed_by, table_name)
           values (${quoteText(slot.subscriptionId)}, ${slot.slices}, ${slot.slice}, ${epoch}, '${token}', ${quoteText(table)})
           on duplicate key update epoch = ${epoch}, claimed_by = '${token}', table_name = ${quoteText(table)}`,
        );
        // Owners of another layout own nothing from now on.
        await session.run(`update ${name} set claimed_by = null where ${subscription} and slices <> ${slot.slices} and claimed_by is not null`);
        // A row that another layout took over is behind: its position counts as one among others.
        const isCurrent = own !== undefined && own.claimed_by !== null;
        const others = before.filter((row) => !(isCurrent && isOwn(row))).flatMap((row) => checkpointOf(row) ?? []);
        return { own: isCurrent ? checkpointOf(own) : null, others, token };
      }),
    ),
  );
  // Held for the life of the session: it tells the heir whom to end.
  await session.query(`select get_lock(${quoteText(ownerLock(database, slot, slot.slices, slot.slice))}, 5)`);
  return claim;
};

/** I1, I2: to be called in the transaction that writes the rows. @throws FENCED when the claim was replaced. */
export const saveCheckpoint = async (session: Session, slot: Slot, epoch: number, token: string, checkpoint: Checkpoint): Promise<void> => {
  const result = await session.run(
    `update ${name} set position = ${quoteText(JSON.stringify(checkpoint.position))}, counts = ${quoteText(JSON.stringify(checkpoint.counts))}
      where ${slotCondition(slot)} and claimed_by = ${quoteText(token)} and epoch = ${epoch}`,
  );
  // The driver asks for the rows that were found, so one whose values stay the same counts.
  if (result.affectedRows === 0) throw fenced(slot, epoch);
};

/** Does the claim still stand? */
export const stillOwns = async (session: Session, slot: Slot, token: string): Promise<boolean> =>
  (await session.query(`select 1 as there from ${name} where ${slotCondition(slot)} and claimed_by = ${quoteText(token)}`)).length > 0;

const slotCondition = (slot: Slot): string => `subscription_id = ${quoteText(slot.subscriptionId)} and slices = ${slot.slices} and slice = ${slot.slice}`;

const checkpointOf = (row: CheckpointRow): Checkpoint | null =>
  row.position === null || row.counts === null
    ? null
    : { position: JSON.parse(row.position) as Checkpoint['position'], counts: JSON.parse(row.counts) as Checkpoint['counts'] };

export const fenced = (slot: Slot, epoch: number): TributaryError =>
  new TributaryError('FENCED', `Slice ${slot.slice} of ${slot.slices} of subscription ${slot.subscriptionId} has an owner newer than epoch ${epoch}.`);

const ownerLock = (database: string, slot: Slot, slices: number | string, slice: number | string): string =>
  lockName('owner', database, slot.subscriptionId, Number(slices), Number(slice));

/** A stopped owner may sit in an open transaction and hold locks on rows: its session, which holds this lock, is ended by the server. */
const endOwner = async (session: Session, lock: string): Promise<void> => {
  const [found] = await session.query<{ owner: string | null; own: string }>(`select is_used_lock(${quoteText(lock)}) as owner, connection_id() as own`);
  if (found?.owner == null || found.owner === found.own) return;
  // It may be gone by now, or be another user's, which only an administrator may end.
  await session.query(`kill ${found.owner}`).catch(() => {});
};
