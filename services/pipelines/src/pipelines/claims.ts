/**
 * Keeps connections and pipelines together across two services. Before a connection is made for a pipeline, or a pipeline
 * lets go of one, its id is noted; settling deletes it when no pipeline uses it. A sweep settles what a crash left noted.
 */
import { messageOf } from '@tributary/errors/error';
import type { Logger } from '@tributary/runtime/logger';
import type { Stores } from '../stores.ts';
import type { Connectors } from './connectors.ts';

const sweepAfterMs = 60_000;

export interface Claims {
  note(ids: readonly string[], envId: string): Promise<void>;
  /** Deletes those no pipeline uses. Never throws: what fails stays noted for the sweep. */
  settle(ids: readonly string[]): Promise<void>;
  /** Settles what was noted more than a minute ago. */
  sweep(): Promise<void>;
}

export const createClaims = (stores: Stores, connectors: Connectors, log: Logger): Claims => {
  const { claims, pipelines } = stores;

  const settleOne = async (id: string): Promise<void> => {
    const claim = await claims.findOne({ _id: id }).lean();
    if (claim === null) return;
    const user = await pipelines.exists({ deleted: false, env_id: claim.env_id, $or: [{ 'source.connection_id': id }, { 'target.connection_id': id }] });
    if (user === null) await connectors.remove(id, claim.env_id);
    await claims.deleteOne({ _id: id });
  };

  const settle = async (ids: readonly string[]): Promise<void> => {
    for (const id of ids) {
      try {
        await settleOne(id);
      } catch (error) {
        log.warn({ err: error, connectionId: id }, `A connection without a pipeline could not be deleted, trying again later: ${messageOf(error)}`);
      }
    }
  };

  return {
    note: async (ids, envId) => {
      for (const id of ids) await claims.updateOne({ _id: id }, { $set: { env_id: envId, at: new Date() } }, { upsert: true });
    },
    settle,
    sweep: async () => {
      const old = await claims
        .find({ at: { $lt: new Date(Date.now() - sweepAfterMs) } }, { _id: 1 })
        .limit(1000)
        .lean();
      await settle(old.map((claim) => claim._id));
    },
  };
};
