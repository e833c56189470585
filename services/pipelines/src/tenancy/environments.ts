/** Environments: making, finding, changing and deleting them. */
import { randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import type { EnvView } from '@tributary/contracts/api/envs';
import type { User } from '@tributary/http/caller';
import { isDuplicateKey } from '@tributary/store/duplicate';
import type { EnvironmentDoc } from '@tributary/store/environments';
import { literal, type Stores } from '../stores.ts';

export interface Environments {
  list(
    user: User,
    filter: { readonly search?: string | undefined; readonly skip: number; readonly limit: number },
  ): Promise<{ items: EnvView[]; total: number }>;
  /** The creator owns it and works in it from now on. @throws BAD_REQUEST when the name is taken. */
  create(user: User, given: { readonly name: string; readonly description: string | null; readonly useRetention: boolean }): Promise<EnvView>;
  get(user: User, id: string): Promise<EnvView>;
  byName(user: User, name: string): Promise<EnvView>;
  update(
    user: User,
    id: string,
    change: { readonly name?: string | undefined; readonly description?: string | null | undefined; readonly use_retention?: boolean | undefined },
  ): Promise<EnvView>;
  /** With its teams and connections. @throws BAD_REQUEST while it has pipelines. */
  remove(user: User, id: string): Promise<void>;
  isOwner(envId: string, userId: string): Promise<boolean>;
  addMember(envId: string, userId: string): Promise<void>;
  /** Ends the membership of those who are in none of its teams any more; owners stay. */
  dropTeamless(envId: string, userIds: readonly string[]): Promise<void>;
}

const view = (doc: EnvironmentDoc): EnvView => ({
  id: doc._id,
  name: doc.name,
  description: doc.description,
  use_retention: doc.use_retention,
  retention_configuration: null,
});

const nameTaken = (name: string): TributaryError => new TributaryError('BAD_REQUEST', `There is already an environment named "${name}".`);

/** `removeConnections`: at the service that owns them. */
export const createEnvironments = (stores: Stores, removeConnections: (envId: string) => Promise<void>): Environments => {
  const { environments, teams, users, pipelines } = stores;

  // I7: environments one is not a member of are not there.
  const find = async (user: User, where: { _id: string } | { name: string }): Promise<EnvironmentDoc> => {
    const doc = await environments.findOne({ ...where, 'members.user_id': user.userId }).lean<EnvironmentDoc>();
    if (doc === null)
      throw new TributaryError('NOT_FOUND', `There is no environment ${'_id' in where ? where._id : `named "${where.name}"`} that you are a member of.`);
    return doc;
  };

  const findOwned = async (user: User, id: string): Promise<EnvironmentDoc> => {
    const doc = await find(user, { _id: id });
    const isOwner = doc.members.some((member) => member.user_id === user.userId && member.role === 'owner');
    if (!isOwner && !user.isSuperuser) throw new TributaryError('FORBIDDEN', `Only an owner of the environment "${doc.name}" may do this.`);
    return doc;
  };

  return {
    list: async (user, filter) => {
      const where = { 'members.user_id': user.userId, ...(filter.search === undefined ? {} : { name: { $regex: literal(filter.search), $options: 'i' } }) };
      const [docs, total] = await Promise.all([
        environments.find(where).sort({ created_at: 1, _id: 1 }).skip(filter.skip).limit(filter.limit).lean<EnvironmentDoc[]>(),
        environments.countDocuments(where),
      ]);
      return { items: docs.map(view), total };
    },

    create: async (user, given) => {
      const now = new Date();
      const doc: EnvironmentDoc = {
        _id: randomUUID(),
        name: given.name,
        description: given.description,
        use_retention: given.useRetention,
        members: [{ user_id: user.userId, role: 'owner' }],
        created_at: now,
        updated_at: now,
      };
      try {
        await environments.create(doc);
      } catch (error) {
        throw isDuplicateKey(error) ? nameTaken(given.name) : error;
      }
      await users.updateOne({ _id: user.userId }, { $set: { active_env_id: doc._id, updated_at: now } });
      return view(doc);
    },

    get: async (user, id) => view(await find(user, { _id: id })),
    byName: async (user, name) => view(await find(user, { name })),

    update: async (user, id, change) => {
      await findOwned(user, id);
      const set = Object.fromEntries(Object.entries({ ...change, updated_at: new Date() }).filter(([, value]) => value !== undefined));
      try {
        const updated = await environments.findOneAndUpdate({ _id: id }, { $set: set }, { returnDocument: 'after' }).lean<EnvironmentDoc>();
        if (updated === null) throw new TributaryError('NOT_FOUND', `There is no environment ${id}.`);
        return view(updated);
      } catch (error) {
        throw isDuplicateKey(error) ? nameTaken(change.name ?? '') : error;
      }
    },

    remove: async (user, id) => {
      const doc = await findOwned(user, id);
      const left = await pipelines.countDocuments({ env_id: id, deleted: false });
      if (left > 0)
        throw new TributaryError('BAD_REQUEST', `The environment "${doc.name}" still has ${left} ${left === 1 ? 'pipeline' : 'pipelines'}. Delete them first.`);
      // First: while it fails the environment is still there, and deleting it can be tried again.
      await removeConnections(id);
      await environments.deleteOne({ _id: id });
      await Promise.all([teams.deleteMany({ env_id: id }), users.updateMany({ active_env_id: id }, { $set: { active_env_id: null } })]);
    },

    isOwner: async (envId, userId) => (await environments.exists({ _id: envId, members: { $elemMatch: { user_id: userId, role: 'owner' } } })) !== null,

    addMember: async (envId, userId) => {
      await environments.updateOne({ _id: envId, 'members.user_id': { $ne: userId } }, { $push: { members: { user_id: userId, role: 'member' } } });
      // Somebody's first environment is the one they work in.
      await users.updateOne({ _id: userId, active_env_id: null }, { $set: { active_env_id: envId } });
    },

    dropTeamless: async (envId, userIds) => {
      for (const userId of userIds) {
        if ((await teams.exists({ env_id: envId, 'members.user_id': userId })) !== null) continue;
        const dropped = await environments.updateOne(
          { _id: envId, members: { $elemMatch: { user_id: userId, role: 'member' } } },
          { $pull: { members: { user_id: userId } } },
        );
        if (dropped.modifiedCount > 0) await users.updateOne({ _id: userId, active_env_id: envId }, { $set: { active_env_id: null } });
      }
    },
  };
};
