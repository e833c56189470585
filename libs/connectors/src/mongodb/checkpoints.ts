/**
 * The collection of checkpoints beside the data: position, counts and owner of every slot. A claim makes its caller the only owner,
 * and every commit is conditional on still being it.
 */
import { randomUUID } from 'node:crypto';
import { Long, type ClientSession, type Collection } from 'mongodb';
import { slotId, type Checkpoint, type Slot } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { sessionId, transactionOptions, type Connection } from './connect.ts';

export const checkpointCollection = '_tributary_checkpoints';

interface CheckpointDocument {
  /** The slot; or, of the document on which claims of a subscription take turns, the subscription. */
  readonly _id: string;
  readonly subscription_id?: string;
  readonly slices?: number;
  readonly slice?: number;
  readonly epoch?: Long | bigint | number;
  readonly claimed_by?: string | null;
  /** The owner's session, by which its heir ends a transaction that stands still. */
  readonly session?: unknown;
  /** Commits since the claim: tells whether one of unknown outcome was made. */
  readonly commits?: number;
  /** JSON. */
  readonly position?: string;
  readonly counts?: string;
  readonly table?: string;
  readonly updated_at?: Date;
  readonly claims?: number;
}

export interface Claim {
  readonly own: Checkpoint | null;
  readonly others: readonly Checkpoint[];
  /** Names this claim; a later claim of the slot, or of another layout, replaces it. */
  readonly token: string;
}

const collectionOf = ({ db }: Connection): Collection<CheckpointDocument> => db.collection<CheckpointDocument>(checkpointCollection);

export const fenced = (slot: Slot, epoch: number): TributaryError =>
  new TributaryError('FENCED', `Slice ${slot.slice} of ${slot.slices} of subscription ${slot.subscriptionId} has an owner newer than epoch ${epoch}.`);

const checkpointOf = ({ position, counts }: CheckpointDocument): Checkpoint | null =>
  position === undefined || counts === undefined
    ? null
    : { position: JSON.parse(position) as Checkpoint['position'], counts: JSON.parse(counts) as Checkpoint['counts'] };

/**
 * I2: makes the caller the owner of the slot, and only then reads the checkpoints.
 * @throws FENCED when a newer epoch owns it.
 */
export const claimSlot = async (connection: Connection, session: ClientSession, slot: Slot, epoch: number, table: string): Promise<Claim> => {
  const checkpoints = collectionOf(connection);
  const name = slotId(slot);
  const { subscriptionId } = slot;
  const known = await checkpoints.find({ subscription_id: subscriptionId }, { readConcern: { level: 'majority' } }).toArray();
  const before = known.find((document) => document._id === name);
  if (before !== undefined && Number(before.epoch) > epoch) throw fenced(slot, epoch);
  await endOlderSessions(connection, slot, known);
  const token = randomUUID();
  return session.withTransaction(async () => {
    // Claims of one subscription one after the other: two that write different documents would not notice each other.
    await checkpoints.updateOne({ _id: `claims of ${subscriptionId}` }, { $inc: { claims: 1 } }, { session, upsert: true });
    const documents = await checkpoints.find({ subscription_id: subscriptionId }, { session }).toArray();
    const own = documents.find((document) => document._id === name);
    if (own !== undefined && Number(own.epoch) > epoch) throw fenced(slot, epoch);
    await checkpoints.updateOne(
      { _id: name },
      {
        $set: {
          subscription_id: subscriptionId,
          slices: slot.slices,
          slice: slot.slice,
          epoch: Long.fromNumber(epoch),
          claimed_by: token,
          session: sessionId(session),
          commits: 0,
          table,
          updated_at: new Date(),
        },
      },
      { session, upsert: true },
    );
    // Owners of another layout own nothing from now on.
    await checkpoints.updateMany({ subscription_id: subscriptionId, slices: { $ne: slot.slices } }, { $set: { claimed_by: null } }, { session });
    // A slot that another layout took over is behind: its position counts as one among others.
    const isCurrent = own?.claimed_by != null;
    const others = documents.filter((document) => !(isCurrent && document === own)).flatMap((document) => checkpointOf(document) ?? []);
    return { own: isCurrent && own !== undefined ? checkpointOf(own) : null, others, token };
  }, transactionOptions);
};

/** The commit of unknown outcome that is being repeated was made. */
export class AlreadyCommitted extends Error {}

/**
 * I1, I2: to be called in the transaction that writes the rows. `commits`: how many this claim has made before.
 * @throws FENCED when the claim was replaced; AlreadyCommitted when this very commit is there.
 */
export const saveCheckpoint = async (
  connection: Connection,
  session: ClientSession,
  { slot, epoch, token, commits }: { readonly slot: Slot; readonly epoch: number; readonly token: string; readonly commits: number },
  checkpoint: Checkpoint,
): Promise<void> => {
  const checkpoints = collectionOf(connection);
  const saved = await checkpoints.updateOne(
    { _id: slotId(slot), claimed_by: token, epoch: Long.fromNumber(epoch), commits },
    { $set: { position: JSON.stringify(checkpoint.position), counts: JSON.stringify(checkpoint.counts), commits: commits + 1, updated_at: new Date() } },
    { session },
  );
  if (Number(saved.matchedCount) === 1) return;
  const there = await checkpoints.findOne({ _id: slotId(slot) }, { session });
  if (there?.claimed_by === token && Number(there.commits) === commits + 1) throw new AlreadyCommitted();
  throw fenced(slot, epoch);
};

/** Does the claim still stand? */
export const stillOwns = async (connection: Connection, slot: Slot, token: string): Promise<boolean> =>
  (await collectionOf(connection).findOne({ _id: slotId(slot) }, { readConcern: { level: 'majority' } }))?.claimed_by === token;

/** A stopped owner may sit in an open transaction and hold documents for as long as the server lets it: its session is ended. */
const endOlderSessions = async ({ db }: Connection, slot: Slot, known: readonly CheckpointDocument[]): Promise<void> => {
  const older = known.flatMap((document) =>
    document.session !== undefined && (document.slices !== slot.slices || document.slice === slot.slice) ? [{ id: document.session }] : [],
  );
  // Where a user may not even end its own sessions, the heir waits for the time limit of transactions.
  if (older.length > 0)
    await db
      .admin()
      .command({ killSessions: older })
      .catch(() => {});
};
