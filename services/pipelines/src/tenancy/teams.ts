/** Teams: making, finding, changing and deleting them, and their members. */
import { randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import type { TeamView } from '@tributary/contracts/api/teams';
import type { User } from '@tributary/http/caller';
import { isDuplicateKey } from '@tributary/store/duplicate';
import type { TeamDoc } from '@tributary/store/teams';
import { literal, type Stores } from '../stores.ts';
import type { Environments } from './environments.ts';

interface Member {
  readonly id: string;
  readonly email: string;
  readonly role: 'owner' | 'member';
}

export interface Teams {
  list(
    envId: string,
    filter: { readonly search?: string | undefined; readonly skip: number; readonly limit: number },
  ): Promise<{ items: TeamView[]; total: number }>;
  /** @throws BAD_REQUEST when the environment has a team of that name. */
  create(user: User, envId: string, given: { readonly name: string; readonly description: string | null }): Promise<TeamView>;
  get(envId: string, id: string): Promise<TeamView>;
  byName(envId: string, name: string): Promise<TeamView>;
  update(
    user: User,
    envId: string,
    id: string,
    change: { readonly name?: string | undefined; readonly description?: string | null | undefined },
  ): Promise<TeamView>;
  /** @throws BAD_REQUEST while it has pipelines. */
  remove(user: User, envId: string, id: string): Promise<void>;
  members(envId: string, id: string): Promise<Member[]>;
  addMembers(user: User, envId: string, id: string, given: { readonly members: readonly string[]; readonly owners: readonly string[] }): Promise<void>;
  /** @throws BAD_REQUEST for the last owner while others remain. */
  removeMember(user: User, envId: string, id: string, memberId: string): Promise<void>;
  /** The team, when the user may write what it owns. @throws NOT_FOUND, FORBIDDEN */
  forWriting(user: User, envId: string, id: string): Promise<TeamView>;
  names(envId: string, ids: readonly string[]): Promise<Map<string, string>>;
}

const view = (doc: TeamDoc): TeamView => ({ id: doc._id, name: doc.name, description: doc.description, env_id: doc.env_id });

const nameTaken = (name: string): TributaryError => new TributaryError('BAD_REQUEST', `There is already a team named "${name}" in this environment.`);

export const createTeams = (stores: Stores, environments: Environments): Teams => {
  const { teams, users, pipelines } = stores;

  // I7: no look-up without the environment.
  const find = async (envId: string, where: { _id: string } | { name: string }): Promise<TeamDoc> => {
    const doc = await teams.findOne({ ...where, env_id: envId }).lean<TeamDoc>();
    if (doc === null) throw new TributaryError('NOT_FOUND', `There is no team ${'_id' in where ? where._id : `named "${where.name}"`} in your environment.`);
    return doc;
  };

  const mayWrite = async (user: User, doc: TeamDoc, roles: readonly string[]): Promise<boolean> =>
    user.isSuperuser || roles.includes(user.teams[doc._id] ?? '') || environments.isOwner(doc.env_id, user.userId);

  const findOwned = async (user: User, envId: string, id: string): Promise<TeamDoc> => {
    const doc = await find(envId, { _id: id });
    if (!(await mayWrite(user, doc, ['owner']))) throw new TributaryError('FORBIDDEN', `Only an owner of the team "${doc.name}" may do this.`);
    return doc;
  };

  return {
    list: async (envId, filter) => {
      const where = { env_id: envId, ...(filter.search === undefined ? {} : { name: { $regex: literal(filter.search), $options: 'i' } }) };
      const [docs, total] = await Promise.all([
        teams.find(where).sort({ created_at: 1, _id: 1 }).skip(filter.skip).limit(filter.limit).lean<TeamDoc[]>(),
        teams.countDocuments(where),
      ]);
      return { items: docs.map(view), total };
    },

    create: async (user, envId, given) => {
      const now = new Date();
      const doc: TeamDoc = { _id: randomUUID(), env_id: envId, ...given, members: [{ user_id: user.userId, role: 'owner' }], created_at: now, updated_at: now };
      try {
        await teams.create(doc);
      } catch (error) {
        throw isDuplicateKey(error) ? nameTaken(given.name) : error;
      }
      return view(doc);
    },

    get: async (envId, id) => view(await find(envId, { _id: id })),
    byName: async (envId, name) => view(await find(envId, { name })),

    update: async (user, envId, id, change) => {
      await findOwned(user, envId, id);
      const set = Object.fromEntries(Object.entries({ ...change, updated_at: new Date() }).filter(([, value]) => value !== undefined));
      try {
        const updated = await teams.findOneAndUpdate({ _id: id, env_id: envId }, { $set: set }, { returnDocument: 'after' }).lean<TeamDoc>();
        if (updated === null) throw new TributaryError('NOT_FOUND', `There is no team ${id} in your environment.`);
        return view(updated);
      } catch (error) {
        throw isDuplicateKey(error) ? nameTaken(change.name ?? '') : error;
      }
    },

    remove: async (user, envId, id) => {
      const doc = await findOwned(user, envId, id);
      const left = await pipelines.countDocuments({ env_id: envId, team_id: id, deleted: false });
      if (left > 0)
        throw new TributaryError(
          'BAD_REQUEST',
          `The team "${doc.name}" still has ${left} ${left === 1 ? 'pipeline' : 'pipelines'}. Delete or move them first.`,
        );
      await teams.deleteOne({ _id: id, env_id: envId });
      await environments.dropTeamless(
        envId,
        doc.members.map((member) => member.user_id),
      );
    },

    members: async (envId, id) => {
      const doc = await find(envId, { _id: id });
      const found = await users.find({ _id: { $in: doc.members.map((member) => member.user_id) } }, { email: 1 }).lean();
      const emails = new Map(found.map((user) => [user._id, user.email]));
      return doc.members.flatMap((member) => {
        const email = emails.get(member.user_id);
        return email === undefined ? [] : [{ id: member.user_id, email, role: member.role }];
      });
    },

    addMembers: async (user, envId, id, given) => {
      await findOwned(user, envId, id);
      const owners = new Set(given.owners);
      const ids = [...new Set([...given.members, ...given.owners])];
      // I7: the one look-up that reaches beyond the environment: another user, by id.
      const known = new Set((await users.find({ _id: { $in: ids } }, { _id: 1 }).lean()).map((found) => found._id));
      const unknown = ids.filter((one) => !known.has(one));
      if (unknown.length > 0) throw new TributaryError('NOT_FOUND', `There is no user ${unknown.join(', ')}. Nobody was added.`);
      for (const userId of ids) {
        await environments.addMember(envId, userId);
        await teams.updateOne(
          { _id: id, env_id: envId, 'members.user_id': { $ne: userId } },
          { $push: { members: { user_id: userId, role: owners.has(userId) ? 'owner' : 'member' } } },
        );
        if (owners.has(userId))
          await teams.updateOne(
            { _id: id, env_id: envId, members: { $elemMatch: { user_id: userId, role: 'member' } } },
            { $set: { 'members.$.role': 'owner' } },
          );
      }
    },

    removeMember: async (user, envId, id, memberId) => {
      const doc = memberId === user.userId ? await find(envId, { _id: id }) : await findOwned(user, envId, id);
      if (!doc.members.some((member) => member.user_id === memberId))
        throw new TributaryError('NOT_FOUND', `The user ${memberId} is not a member of the team "${doc.name}".`);
      // One write that holds the rule by itself: two owners who remove each other at once must not both succeed.
      const removed = await teams.updateOne(
        {
          _id: id,
          env_id: envId,
          $or: [
            { members: { $elemMatch: { user_id: { $ne: memberId }, role: 'owner' } } },
            { members: { $size: 1 }, 'members.user_id': memberId },
            { members: { $elemMatch: { user_id: memberId, role: 'member' } } },
          ],
        },
        { $pull: { members: { user_id: memberId } } },
      );
      if (removed.matchedCount === 0)
        throw new TributaryError(
          'BAD_REQUEST',
          `The user is the last owner of the team "${doc.name}", which has other members. Make one of them an owner first.`,
        );
      await environments.dropTeamless(envId, [memberId]);
    },

    forWriting: async (user, envId, id) => {
      const doc = await find(envId, { _id: id });
      if (!(await mayWrite(user, doc, ['owner', 'member']))) throw new TributaryError('FORBIDDEN', `You are not a member of the team "${doc.name}".`);
      return view(doc);
    },

    names: async (envId, ids) =>
      new Map((await teams.find({ env_id: envId, _id: { $in: [...ids] } }, { name: 1 }).lean()).map((team) => [team._id, team.name])),
  };
};
