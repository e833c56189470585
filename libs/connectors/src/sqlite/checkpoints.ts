/** `_tributary_checkpoints`: position, counts and owner of every slot, beside the data, so that all commit as one (I2). All of it is called in the open transaction. */
import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { Checkpoint, Slot } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';

const name = '"_tributary_checkpoints"';

export interface Claim {
  readonly own: Checkpoint | null;
  readonly others: readonly Checkpoint[];
  /** Names this claim; a later claim of the slot, or of another layout, replaces it. */
  readonly token: string;
}

export const createCheckpoints = (connection: DatabaseSync): void =>
  connection.exec(
    `CREATE TABLE IF NOT EXISTS ${name} (
       subscription_id TEXT NOT NULL, slices INTEGER NOT NULL, slice INTEGER NOT NULL, epoch INTEGER NOT NULL, claimed_by TEXT,
       position TEXT, counts TEXT, updated_at TEXT NOT NULL, "table" TEXT NOT NULL, PRIMARY KEY (subscription_id, slices, slice)) WITHOUT ROWID`,
  );

const fenced = (slot: Slot, epoch: number): TributaryError =>
  new TributaryError('FENCED', `Slice ${slot.slice} of ${slot.slices} of subscription ${slot.subscriptionId} has an owner newer than epoch ${epoch}.`);

const checkpointOf = (row: Record<string, unknown>): Checkpoint | null =>
  typeof row['position'] === 'string' && typeof row['counts'] === 'string'
    ? { position: JSON.parse(row['position']) as Checkpoint['position'], counts: JSON.parse(row['counts']) as Checkpoint['counts'] }
    : null;

/**
 * I2: makes the caller the owner of the slot, and only then reads the checkpoints.
 * @throws FENCED when a newer epoch owns it.
 */
export const claimSlot = (connection: DatabaseSync, slot: Slot, epoch: number, table: string): Claim => {
  const token = randomUUID();
  const before = connection
    .prepare(`SELECT slices, slice, epoch, position, counts, claimed_by FROM ${name} WHERE subscription_id = ?`)
    .all(slot.subscriptionId);
  const isOwn = (row: Record<string, unknown>): boolean => Number(row['slices']) === slot.slices && Number(row['slice']) === slot.slice;
  const own = before.find(isOwn);
  if (own !== undefined && Number(own['epoch']) > epoch) throw fenced(slot, epoch);
  connection
    .prepare(
      `INSERT INTO ${name} (subscription_id, slices, slice, epoch, claimed_by, updated_at, "table") VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (subscription_id, slices, slice) DO UPDATE SET epoch = excluded.epoch, claimed_by = excluded.claimed_by, updated_at = excluded.updated_at, "table" = excluded."table"`,
    )
    .run(slot.subscriptionId, slot.slices, slot.slice, epoch, token, new Date().toISOString(), table);
  // Owners of another layout own nothing from now on.
  connection.prepare(`UPDATE ${name} SET claimed_by = NULL WHERE subscription_id = ? AND slices <> ?`).run(slot.subscriptionId, slot.slices);
  // A row that another layout took over is behind: its position counts as one among others.
  const isCurrent = own !== undefined && own['claimed_by'] !== null;
  const others = before.filter((row) => !(isCurrent && isOwn(row))).flatMap((row) => checkpointOf(row) ?? []);
  return { own: isCurrent ? checkpointOf(own) : null, others, token };
};

/** I1, I2: writes the checkpoint if the claim still stands. @throws FENCED */
export const saveCheckpoint = (connection: DatabaseSync, slot: Slot, epoch: number, token: string, checkpoint: Checkpoint): void => {
  const saved = connection
    .prepare(
      `UPDATE ${name} SET position = ?, counts = ?, updated_at = ? WHERE subscription_id = ? AND slices = ? AND slice = ? AND claimed_by = ? AND epoch = ?`,
    )
    .run(
      JSON.stringify(checkpoint.position),
      JSON.stringify(checkpoint.counts),
      new Date().toISOString(),
      slot.subscriptionId,
      slot.slices,
      slot.slice,
      token,
      epoch,
    );
  if (Number(saved.changes) !== 1) throw fenced(slot, epoch);
};

/** Does the claim still stand? Asked before rows are written, so that a fenced writer stops at once. @throws FENCED */
export const requireClaim = (connection: DatabaseSync, slot: Slot, epoch: number, token: string): void => {
  const found = connection
    .prepare(`SELECT 1 FROM ${name} WHERE subscription_id = ? AND slices = ? AND slice = ? AND claimed_by = ?`)
    .get(slot.subscriptionId, slot.slices, slot.slice, token);
  if (found === undefined) throw fenced(slot, epoch);
};
