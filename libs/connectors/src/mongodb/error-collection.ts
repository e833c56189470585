/** Rejected rows beside the data, each once. */
import { createHash } from 'node:crypto';
import type { ClientSession, Db } from 'mongodb';
import type { RejectedRow } from '@tributary/contracts/ops';

interface ErrorDocument {
  readonly _id: string;
  readonly subscription_id: string;
  readonly code: string;
  readonly reason: string;
  readonly payload: string;
  readonly origin: Readonly<Record<string, unknown>>;
  readonly rejected_at: Date;
}

/** One record may give several rows, so the payload belongs to the key; reading a record again changes nothing. */
const keyOf = (subscriptionId: string, { code, payload, origin }: RejectedRow): string =>
  createHash('sha256')
    .update(JSON.stringify([subscriptionId, code, payload, Object.entries(origin).sort(([one], [other]) => (one < other ? -1 : 1))]))
    .digest('hex');

/** To be called in the transaction that writes the rows. */
export const writeRejected = async (
  db: Db,
  session: ClientSession,
  collection: string,
  subscriptionId: string,
  rows: readonly RejectedRow[],
): Promise<void> => {
  if (rows.length === 0) return;
  await db.collection<ErrorDocument>(collection).bulkWrite(
    rows.map((row) => {
      const _id = keyOf(subscriptionId, row);
      const { code, origin } = row;
      const replacement = {
        subscription_id: subscriptionId,
        code,
        reason: row.reason.toWellFormed(),
        payload: row.payload.toWellFormed(),
        origin,
        rejected_at: new Date(),
      };
      return { replaceOne: { filter: { _id }, replacement, upsert: true } };
    }),
    { session, ordered: true },
  );
};
