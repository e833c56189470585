/** Writes rows to a collection, exactly once: rows, rejected rows and checkpoint are one transaction, conditional on the claim. */
import { MongoServerError, type ClientSession } from 'mongodb';
import { shownExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import { withRefused, type Delivery, type DeliveryResult, type OpenTargetContext, type Target, type TargetConnector } from '@tributary/connector-sdk/target';
import { slotId, type RejectedRow } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { testConnection } from './check.ts';
import { AlreadyCommitted, checkpointCollection, claimSlot, fenced, saveCheckpoint, stillOwns } from './checkpoints.ts';
import type { TargetConfig } from './config.ts';
import { hasTransactions, openConnection, transactionOptions, type Connection } from './connect.ts';
import { writeRejected } from './error-collection.ts';
import { needsReplicaSet, rowError, serverCode } from './server-errors.ts';
import { ensureCollection, ensureKey } from './target-collection.ts';
import { documentEncoder } from './to-bson.ts';
import { planWrite, unsendable, writePlan, type Refusals } from './write-rows.ts';

const duplicateKey = 11000;

export const mongodbTarget: TargetConnector<TargetConfig> = {
  check: (config, context) =>
    testConnection(config, context, 'target', [
      {
        name: 'permissions',
        run: async ({ client, db }) => {
          await ensureCollection(db, checkpointCollection);
          const session = client.startSession();
          try {
            session.startTransaction(transactionOptions);
            await db
              .collection<{ _id: string }>(checkpointCollection)
              .updateOne({ _id: 'connection test' }, { $inc: { claims: 1 } }, { session, upsert: true });
            await session.abortTransaction();
          } finally {
            await session.endSession();
          }
          return `May write to database ${config.database} in transactions.`;
        },
      },
    ]),

  open: async (config, context) => {
    const connection = await openConnection(config, 'target', context.signal);
    return targetOn(connection, connection.client.startSession({ causalConsistency: true }), config, context);
  },
};

const targetOn = (connection: Connection, session: ClientSession, config: TargetConfig, context: OpenTargetContext): Target => {
  const { db } = connection;
  const { table, slot, epoch, errorTable, primaryKey } = context;
  const collection = db.collection(table);
  const encode = documentEncoder(context.columns, config);
  let token: string | undefined;
  let commits = 0;
  /** A delivery ended with an error that does not tell whether it was committed: only a new claim does. */
  let isUncertain = false;

  const deliverRows = async (delivery: Delivery, claim: string): Promise<DeliveryResult> => {
    const { data, rejected } = delivery;
    if (data.kind === 'encoded') throw new TributaryError('UNSUPPORTED', 'The MongoDB target takes rows only, no encoded bytes.');
    const { rows, ops, originOf } = data;
    if (primaryKey.length === 0 && ops?.includes('delete') === true)
      throw new TributaryError(
        'CONFIG_INVALID',
        `A row of collection "${table}" is to be deleted, but no column of the mapper is a primary_key. Declare the key.`,
      );
    const refusals: Refusals = new Map();
    /** Keys that another slot may have inserted at the same moment: blamed on the row only when it happens again. */
    const seenTwice = new Set<number>();

    for (;;) {
      const plan = planWrite({ rows, ops, primaryKey, encode }, refusals);
      const refused = [...refusals]
        .sort(([one], [other]) => one - other)
        .map(([index, { code, reason }]): RejectedRow => ({ code, reason, payload: cutText(shownExact(rows[index] ?? null)), origin: originOf(index) }));
      const lost = [...rejected, ...refused];
      if (errorTable === null && lost[0] !== undefined)
        throw new TributaryError(
          'REJECTS_EXCEEDED',
          `A row for collection "${table}" was rejected, and the subscription has no error table: ${lost[0].reason}`,
          {
            details: { origin: lost[0].origin },
          },
        );
      const checkpoint = { position: delivery.checkpoint.position, counts: withRefused(delivery.checkpoint.counts, refused.length) };
      try {
        // A transaction that certainly failed through no fault of its own is run again, a commit of unknown outcome is asked for again.
        await session.withTransaction(async () => {
          // I1, I2: checkpoint, owner, rows and rejected rows in one commit. The checkpoint first: who is fenced stops before it writes.
          await saveCheckpoint(connection, session, { slot, epoch, token: claim, commits }, checkpoint);
          await writePlan(collection, session, plan);
          if (errorTable !== null) await writeRejected(db, session, errorTable, slot.subscriptionId, lost);
        }, transactionOptions);
      } catch (error) {
        if (!(error instanceof AlreadyCommitted)) {
          const found = refusedBy(error, plan.rowOf, seenTwice);
          if (found === null && (error instanceof MongoServerError || !isDriverRefusal(error))) throw error;
          const bad = found ?? unsendable(plan);
          if (bad.size === 0 && found === null) throw error;
          context.log.warn('MongoDB refused a row of a batch; the rest is tried without it.', { table, serverCode: serverCode(error) ?? null });
          for (const [index, refusal] of bad) refusals.set(index, refusal);
          continue;
        }
      }
      commits += 1;
      return { checkpoint, refused };
    }
  };

  /** A transaction ended by the server may mean that an heir did it. */
  const isFenced = async (claim: string): Promise<boolean> => {
    if (context.signal.aborted) return false;
    try {
      return !(await stillOwns(connection, slot, claim));
    } catch {
      return false;
    }
  };

  return {
    formats: [],

    claim: async () => {
      try {
        if (!(await hasTransactions(db))) throw new TributaryError('UNSUPPORTED', needsReplicaSet(connection.place.name));
        await ensureCollection(db, checkpointCollection);
        const claim = await claimSlot(connection, session, slot, epoch, table);
        await ensureCollection(db, table);
        await ensureKey(db, table, primaryKey);
        if (errorTable !== null) await ensureCollection(db, errorTable);
        token = claim.token;
        commits = 0;
        isUncertain = false;
        return { own: claim.own, others: claim.others };
      } catch (error) {
        throw connection.explain(error);
      }
    },

    deliver: async (delivery) => {
      if (token === undefined) throw new TributaryError('INTERNAL', `Slot ${slotId(slot)} was not claimed before the first delivery.`);
      context.signal.throwIfAborted();
      if (isUncertain)
        throw new TributaryError(
          'TARGET_FAILED',
          `Whether the last delivery to collection "${table}" was committed is not known; the slot has to be claimed again.`,
        );
      try {
        return await deliverRows(delivery, token);
      } catch (error) {
        if (error instanceof TributaryError) throw error;
        const explained = connection.explain(error);
        if (explained instanceof TributaryError && explained.kind === 'transient' && (await isFenced(token))) throw fenced(slot, epoch);
        isUncertain = true;
        throw explained;
      }
    },

    close: async () => {
      await session.endSession().catch(() => {});
      await connection.close();
    },
  };
};

/** The row that a bulk write stopped at; empty when the transaction is to be run once more as it is; null when no row is to blame. */
const refusedBy = (error: unknown, rowOf: readonly number[], seenTwice: Set<number>): Refusals | null => {
  const bad = rowError(error);
  const index = bad === null ? undefined : rowOf[bad.index];
  if (bad === null || index === undefined) return null;
  if (bad.code === duplicateKey && !seenTwice.has(index)) {
    seenTwice.add(index);
    return new Map();
  }
  return new Map([[index, { code: bad.code === 10334 ? 'ROW_TOO_LARGE' : 'ROW_REFUSED', reason: bad.reason }]]);
};

/** The driver could not write an operation as bytes; https://www.npmjs.com/package/bson throws such errors for documents that have no BSON. */
const isDriverRefusal = (error: unknown): boolean =>
  error instanceof RangeError || (error instanceof Error && /^(BSON.*Error|MongoInvalidArgumentError|MongoRuntimeError)$/.test(error.name));
