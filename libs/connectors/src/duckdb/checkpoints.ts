/** `_tributary_checkpoints`: epoch and checkpoint of each slot, beside the data, so that all commit as one (I2). */
import type { DuckDBConnection } from '@duckdb/node-api';
import { slotId, type Checkpoint, type Slot } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { tableName } from './table.ts';

export const checkpointTable = '_tributary_checkpoints';

const nameIn = (schema: string): string => tableName({ schema, table: checkpointTable });

export const createCheckpoints = async (connection: DuckDBConnection, schema: string): Promise<void> => {
  await connection.run(
    `CREATE TABLE IF NOT EXISTS ${nameIn(schema)} (slot VARCHAR PRIMARY KEY, subscription_id VARCHAR NOT NULL, slices INTEGER NOT NULL, epoch BIGINT NOT NULL, owner VARCHAR NOT NULL, position VARCHAR, counts VARCHAR, updated_at TIMESTAMPTZ NOT NULL)`,
  );
};

export const fenced = (slot: Slot): TributaryError => new TributaryError('FENCED', `Slot ${slotId(slot)} has a newer owner.`);

const ownerOf = (slot: Slot, epoch: number): string => `${slotId(slot)}@${epoch}`;

const checkpointOf = (position: unknown, counts: unknown): Checkpoint | null =>
  typeof position === 'string' && typeof counts === 'string'
    ? { position: JSON.parse(position) as Checkpoint['position'], counts: JSON.parse(counts) as Checkpoint['counts'] }
    : null;

/** Makes `epoch` the owner of the slot, in the open transaction. Slots of other layouts lose theirs. @throws FENCED */
export const claimSlot = async (
  connection: DuckDBConnection,
  schema: string,
  slot: Slot,
  epoch: number,
): Promise<{ readonly own: Checkpoint | null; readonly others: readonly Checkpoint[] }> => {
  const name = slotId(slot);
  const owner = ownerOf(slot, epoch);
  const found = await connection.runAndReadAll(
    `SELECT slot, slices, epoch, owner, position, counts FROM ${nameIn(schema)} WHERE subscription_id = $subscription`,
    { subscription: slot.subscriptionId },
  );
  let own: Checkpoint | null = null;
  let isNew = true;
  const others: Checkpoint[] = [];
  for (const [other, slices, lastEpoch, lastOwner, position, counts] of found.getRows()) {
    const checkpoint = checkpointOf(position, counts);
    if (other !== name) {
      if (checkpoint !== null) others.push(checkpoint);
      if (slices !== slot.slices) await connection.run(`UPDATE ${nameIn(schema)} SET owner = $owner WHERE slot = $slot`, { owner, slot: String(other) });
      continue;
    }
    // A slot that another layout has taken over goes only to owners that came after that.
    const retired = !String(lastOwner).startsWith(`${name}@`);
    if (Number(lastEpoch) > epoch || (retired && Number(lastEpoch) === epoch)) throw fenced(slot);
    own = checkpoint;
    isNew = false;
  }
  if (isNew)
    await connection.run(
      `INSERT INTO ${nameIn(schema)} (slot, subscription_id, slices, epoch, owner, updated_at) VALUES ($slot, $subscription, $slices, $epoch, $owner, now())`,
      {
        slot: name,
        subscription: slot.subscriptionId,
        slices: slot.slices,
        epoch: BigInt(epoch),
        owner,
      },
    );
  else
    await connection.run(`UPDATE ${nameIn(schema)} SET epoch = $epoch, owner = $owner, updated_at = now() WHERE slot = $slot`, {
      slot: name,
      epoch: BigInt(epoch),
      owner,
    });
  return { own, others };
};

/** I2: writes the checkpoint in the open transaction, if the slot still has this owner. @throws FENCED */
export const saveCheckpoint = async (connection: DuckDBConnection, schema: string, slot: Slot, epoch: number, checkpoint: Checkpoint): Promise<void> => {
  const saved = await connection.run(
    `UPDATE ${nameIn(schema)} SET position = $position, counts = $counts, updated_at = now() WHERE slot = $slot AND owner = $owner`,
    {
      slot: slotId(slot),
      owner: ownerOf(slot, epoch),
      position: JSON.stringify(checkpoint.position),
      counts: JSON.stringify(checkpoint.counts),
    },
  );
  if (saved.rowsChanged !== 1) throw fenced(slot);
};
