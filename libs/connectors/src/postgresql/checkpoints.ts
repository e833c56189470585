/**
 * The table of checkpoints beside the data: position, counts and owner of every slot. A claim makes its caller the only owner,
 * and every commit is conditional on still being it.
 */
import { randomUUID } from 'node:crypto';
import type { Checkpoint, Slot } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { qualified } from './identifiers.ts';
import { changeTables, inTransaction, withRetries } from './transaction.ts';

const tableName = '_tributary_checkpoints';

/** application_name of a target's session: `tributary <subscription> <slices>-<slice> <epoch>`, read back to end the sessions of older owners. */
export const sessionTag = (slot: Slot, epoch: number): string => `${tagOf(slot)} ${slot.slices}-${slot.slice} ${epoch}`;

const tagOf = (slot: Slot): string => `tributary ${slot.subscriptionId}`;

export interface Claim {
  readonly own: Checkpoint | null;
  readonly others: readonly Checkpoint[];
  /** Names this claim; a later claim of the slot, or of another layout, replaces it. */
  readonly token: string;
}

interface CheckpointRow extends Record<string, unknown> {
  readonly slices: string;
  readonly slice: string;
  readonly epoch: string;
  readonly position: string | null;
  readonly counts: string | null;
  readonly claimed_by: string | null;
}

export const createCheckpointTable = async (session: Session, schema: string): Promise<void> => {
  const name = qualified(schema, tableName);
  const there = async (): Promise<boolean> => (await session.query<{ there: string }>('select to_regclass($1) is not null as there', [name]))[0]?.there === 't';
  if (await there()) return;
  await changeTables(session, name, async () => {
    if (await there()) return;
    await session.query(
      `create table ${name} (
         subscription_id text not null, slices integer not null, slice integer not null,
         epoch bigint not null, claimed_by text, position jsonb, counts jsonb, updated_at timestamptz not null default now(), "table" text not null,
         primary key (subscription_id, slices, slice))`,
    );
  });
};

/**
 * I2: makes the caller the owner of the slot, and only then reads the checkpoints.
 * @throws FENCED when a newer epoch owns it.
 */
export const claimSlot = async (session: Session, schema: string, slot: Slot, epoch: number, table: string): Promise<Claim> => {
  const name = qualified(schema, tableName);
  const key = [slot.subscriptionId, slot.slices, slot.slice];
  const [known] = await session.query<{ epoch: string }>(`select epoch from ${name} where subscription_id = $1 and slices = $2 and slice = $3`, key);
  if (known !== undefined && Number(known.epoch) > epoch) throw fenced(slot, epoch);
  await endOlderSessions(session, slot, epoch);
  const token = randomUUID();
  return withRetries(() =>
    inTransaction(session, async () => {
      // Claims of one subscription one after the other, so that two layouts cannot wait for each other's rows.
      await session.query('select pg_advisory_xact_lock(hashtextextended($1, 1))', [tagOf(slot)]);
      const before = await session.query<CheckpointRow>(
        `select slices, slice, epoch, position, counts, claimed_by from ${name} where subscription_id = $1 for update`,
        [slot.subscriptionId],
      );
      const isOwn = (row: CheckpointRow): boolean => Number(row.slices) === slot.slices && Number(row.slice) === slot.slice;
      const own = before.find(isOwn);
      if (own !== undefined && Number(own.epoch) > epoch) throw fenced(slot, epoch);
      await session.query(
        `insert into ${name} as c (subscription_id, slices, slice, epoch, claimed_by, "table") values ($1, $2, $3, $4, $5, $6)
         on conflict (subscription_id, slices, slice) do update set epoch = excluded.epoch, claimed_by = excluded.claimed_by, "table" = excluded."table", updated_at = now()`,
        [...key, epoch, token, table],
      );
      // Owners of another layout own nothing from now on.
      await session.query(`update ${name} set claimed_by = null where subscription_id = $1 and slices <> $2 and claimed_by is not null`, [
        slot.subscriptionId,
        slot.slices,
      ]);
      // A row that another layout took over is behind: its position counts as one among others.
      const isCurrent = own !== undefined && own.claimed_by !== null;
      const others = before.filter((row) => !(isCurrent && isOwn(row))).flatMap((row) => checkpointOf(row) ?? []);
      return { own: isCurrent ? checkpointOf(own) : null, others, token };
    }),
  );
};

/** I1, I2: to be called in the transaction that writes the rows. @throws FENCED when the claim was replaced. */
export const saveCheckpoint = async (session: Session, schema: string, slot: Slot, epoch: number, token: string, checkpoint: Checkpoint): Promise<void> => {
  const result = await session.client.query({
    name: 'tributary-checkpoint',
    text: `update ${qualified(schema, tableName)} set position = $5, counts = $6, updated_at = now() where subscription_id = $1 and slices = $2 and slice = $3 and claimed_by = $4 and epoch = $7`,
    values: [slot.subscriptionId, slot.slices, slot.slice, token, JSON.stringify(checkpoint.position), JSON.stringify(checkpoint.counts), epoch],
  });
  if (result.rowCount === 0) throw fenced(slot, epoch);
};

/** Does the claim still stand? */
export const stillOwns = async (session: Session, schema: string, slot: Slot, token: string): Promise<boolean> => {
  const rows = await session.query(
    `select 1 from ${qualified(schema, tableName)} where subscription_id = $1 and slices = $2 and slice = $3 and claimed_by = $4`,
    [slot.subscriptionId, slot.slices, slot.slice, token],
  );
  return rows.length > 0;
};

const checkpointOf = (row: CheckpointRow): Checkpoint | null =>
  row.position === null || row.counts === null
    ? null
    : { position: JSON.parse(row.position) as Checkpoint['position'], counts: JSON.parse(row.counts) as Checkpoint['counts'] };

export const fenced = (slot: Slot, epoch: number): TributaryError =>
  new TributaryError('FENCED', `Slice ${slot.slice} of ${slot.slices} of subscription ${slot.subscriptionId} has an owner newer than epoch ${epoch}.`);

/** A stopped owner may sit in an open transaction and hold locks on rows: its session is ended by the server. */
const endOlderSessions = async (session: Session, slot: Slot, epoch: number): Promise<void> => {
  await session.query(
    `select pg_terminate_backend(pid) from pg_stat_activity, regexp_match(application_name, '^tributary (\\S+) (\\d+)-(\\d+) (\\d+)$') as tag
      where pid <> pg_backend_pid() and usename = current_user and datname = current_database() and tag[1] = $1
        and (tag[2]::int <> $2 or (tag[3]::int = $3 and tag[4]::bigint <= $4))`,
    [slot.subscriptionId, slot.slices, slot.slice, epoch],
  );
};
