/** User accounts: making, finding, changing and deleting them. */
import { randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import type { UserView } from '@tributary/contracts/api/auth';
import type { User } from '@tributary/http/caller';
import { isDuplicateKey } from '@tributary/store/duplicate';
import type { UserDoc } from '@tributary/store/users';
import { literal, type Stores } from '../stores.ts';
import { hashPassword } from './passwords.ts';

interface NewAccount {
  readonly email: string;
  readonly password: string;
  readonly isActive: boolean;
  readonly isSuperuser?: boolean;
}

export interface AccountChange {
  readonly email?: string | undefined;
  readonly active_env_id?: string | null | undefined;
  readonly password?: string | undefined;
  readonly is_active?: boolean | undefined;
  readonly is_superuser?: boolean | undefined;
  readonly is_verified?: boolean | undefined;
}

export interface Accounts {
  /** @throws BAD_REQUEST when the email is taken. */
  create(account: NewAccount): Promise<UserView>;
  /** The operator's superuser: made when it is not there, made a superuser again when it is. Its password is set once only. */
  ensureSuperuser(email: string, password: string): Promise<void>;
  /** Everybody for a superuser, else the members of the active environment. */
  list(
    user: User,
    filter: { readonly search?: string | undefined; readonly skip: number; readonly limit: number },
  ): Promise<{ items: UserView[]; total: number }>;
  get(user: User, id: string): Promise<UserView>;
  update(user: User, id: string, change: AccountChange): Promise<UserView>;
  remove(user: User, id: string): Promise<void>;
}

const emailKey = (email: string): string => email.trim().toLowerCase();

const view = (doc: UserDoc): UserView => ({
  id: doc._id,
  email: doc.email,
  is_active: doc.is_active,
  is_superuser: doc.is_superuser,
  is_verified: doc.is_verified,
  active_env_id: doc.active_env_id,
});

const emailTaken = (email: string): TributaryError => new TributaryError('BAD_REQUEST', `There is already a user with the email ${email}.`);
const notThere = (id: string): TributaryError => new TributaryError('NOT_FOUND', `There is no user ${id} in your environment.`);

export const createAccounts = (stores: Stores): Accounts => {
  const { users, environments, teams } = stores;

  const create = async (account: NewAccount): Promise<UserView> => {
    const now = new Date();
    // Looked at before the slow hash; the unique index decides.
    if ((await users.exists({ email_key: emailKey(account.email) })) !== null) throw emailTaken(account.email);
    const doc: UserDoc = {
      _id: randomUUID(),
      email: account.email.trim(),
      email_key: emailKey(account.email),
      password_hash: await hashPassword(account.password),
      is_active: account.isActive,
      is_superuser: account.isSuperuser ?? false,
      is_verified: account.isSuperuser ?? false,
      active_env_id: null,
      failed_logins: 0,
      locked_until: null,
      session_generation: 0,
      created_at: now,
      updated_at: now,
    };
    try {
      await users.create(doc);
    } catch (error) {
      throw isDuplicateKey(error) ? emailTaken(account.email) : error;
    }
    return view(doc);
  };

  /** I7: users outside the active environment are not there, but for superusers. */
  const visible = async (user: User, id: string): Promise<UserDoc> => {
    const doc = await users.findOne({ _id: id }).lean<UserDoc>();
    if (doc === null) throw notThere(id);
    if (id === user.userId || user.isSuperuser) return doc;
    const together = user.envId !== null && (await environments.exists({ _id: user.envId, 'members.user_id': id })) !== null;
    if (!together) throw notThere(id);
    return doc;
  };

  const own = async (user: User, id: string): Promise<UserDoc> => {
    const doc = await visible(user, id);
    if (id !== user.userId && !user.isSuperuser) throw new TributaryError('FORBIDDEN', 'You can change and delete only your own account.');
    return doc;
  };

  return {
    create,

    ensureSuperuser: async (email, password) => {
      const promoted = await users.updateOne({ email_key: emailKey(email) }, { $set: { is_superuser: true, is_active: true } });
      if (promoted.matchedCount > 0) return;
      await create({ email, password, isActive: true, isSuperuser: true });
    },

    list: async (user, filter) => {
      const search = filter.search === undefined ? {} : { email_key: { $regex: literal(filter.search.toLowerCase()) } };
      let among = {};
      if (!user.isSuperuser) {
        const environment = user.envId === null ? null : await environments.findOne({ _id: user.envId }, { members: 1 }).lean();
        among = { _id: { $in: environment?.members.map((member) => member.user_id) ?? [user.userId] } };
      }
      const where = { ...among, ...search };
      const [docs, total] = await Promise.all([
        users.find(where).sort({ created_at: 1, _id: 1 }).skip(filter.skip).limit(filter.limit).lean<UserDoc[]>(),
        users.countDocuments(where),
      ]);
      return { items: docs.map(view), total };
    },

    get: async (user, id) => view(await visible(user, id)),

    update: async (user, id, change) => {
      const doc = await own(user, id);
      const { is_active, is_superuser, is_verified, password } = change;
      const reserved = Object.entries({ is_active, is_superuser, is_verified, password }).filter(([, value]) => value !== undefined);
      if (reserved.length > 0 && !user.isSuperuser) {
        const help = password === undefined ? '' : ' Change your own password with POST /api/users/me/change-password.';
        throw new TributaryError('FORBIDDEN', `Only a superuser may change ${reserved.map(([name]) => name).join(', ')}.${help}`);
      }
      const { active_env_id } = change;
      if (active_env_id != null && (await environments.exists({ _id: active_env_id, 'members.user_id': id })) === null) {
        throw new TributaryError('NOT_FOUND', `There is no environment ${active_env_id} that this user is a member of.`);
      }
      const set = {
        ...Object.fromEntries(Object.entries({ is_active, is_superuser, is_verified, active_env_id }).filter(([, value]) => value !== undefined)),
        ...(change.email === undefined
          ? {}
          : {
              email: change.email,
              email_key: emailKey(change.email),
              ...(emailKey(change.email) === doc.email_key ? {} : { is_verified: is_verified ?? false }),
            }),
        ...(password === undefined ? {} : { password_hash: await hashPassword(password), failed_logins: 0, locked_until: null }),
        updated_at: new Date(),
      };
      try {
        const updated = await users
          .findOneAndUpdate({ _id: id }, { $set: set, ...(password === undefined ? {} : { $inc: { session_generation: 1 } }) }, { returnDocument: 'after' })
          .lean<UserDoc>();
        if (updated === null) throw notThere(id);
        return view(updated);
      } catch (error) {
        throw isDuplicateKey(error) ? emailTaken(change.email ?? '') : error;
      }
    },

    remove: async (user, id) => {
      await own(user, id);
      const owned = await environments.find({ members: { $elemMatch: { user_id: id, role: 'owner' } } }, { name: 1, members: 1 }).lean();
      const alone = owned.find((environment) => !environment.members.some((member) => member.role === 'owner' && member.user_id !== id));
      if (alone !== undefined)
        throw new TributaryError('BAD_REQUEST', `The user is the only owner of the environment "${alone.name}". Delete that environment first.`);
      const owningTeams = await teams.find({ members: { $elemMatch: { user_id: id, role: 'owner' } } }, { name: 1, members: 1 }).lean();
      const needed = owningTeams.find((team) => team.members.length > 1 && !team.members.some((member) => member.role === 'owner' && member.user_id !== id));
      if (needed !== undefined)
        throw new TributaryError(
          'BAD_REQUEST',
          `The user is the last owner of the team "${needed.name}", which has other members. Make one of them an owner first.`,
        );
      await Promise.all([
        teams.updateMany({ 'members.user_id': id }, { $pull: { members: { user_id: id } } }),
        environments.updateMany({ 'members.user_id': id }, { $pull: { members: { user_id: id } } }),
      ]);
      await users.deleteOne({ _id: id });
      await stores.tokens.deleteMany({ user_id: id });
    },
  };
};
