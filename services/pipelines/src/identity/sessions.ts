/** Logging in and out, and who a token belongs to. */
import { TributaryError } from '@tributary/errors/error';
import type { User } from '@tributary/http/caller';
import type { UserDoc } from '@tributary/store/users';
import type { Stores } from '../stores.ts';
import { hashPassword, isPassword, refusePassword } from './passwords.ts';
import { tokenHash, type SignedTokens } from './signed-tokens.ts';

const allowedFailures = 5;
const lockMs = 15 * 60_000;

export interface Sessions {
  /** A session token. @throws UNAUTHENTICATED, LOCKED_OUT */
  login(email: string, password: string): Promise<{ token: string; userId: string }>;
  logout(token: string): Promise<void>;
  /** @throws UNAUTHENTICATED when it is forged, expired or ended, or its user is gone or inactive. */
  identify(token: string): Promise<User>;
  /** Ends every session of the user. @throws BAD_REQUEST when the current password is wrong, LOCKED_OUT */
  changePassword(userId: string, current: string, next: string): Promise<void>;
  /** A token that does not expire; the one before is no longer accepted. */
  serviceAccountToken(userId: string): Promise<string>;
}

export const createSessions = (stores: Stores, tokens: SignedTokens): Sessions => {
  const { users } = stores;

  const lockedOut = (until: Date): TributaryError => {
    const seconds = Math.max(1, Math.ceil((until.getTime() - Date.now()) / 1000));
    return new TributaryError(
      'LOCKED_OUT',
      `This account is locked after ${allowedFailures} failed logins; it opens again in ${Math.ceil(seconds / 60)} minutes.`,
      { details: { retryAfterSeconds: seconds } },
    );
  };

  /** The user, when the password is right. An attempt is counted before it is looked at, so that many at once are no way around the limit. */
  const checkPassword = async (where: { _id: string } | { email_key: string }, password: string): Promise<UserDoc | null> => {
    const now = new Date();
    const user = await users
      .findOneAndUpdate(
        { ...where, $or: [{ locked_until: null }, { locked_until: { $lte: now } }] },
        { $inc: { failed_logins: 1 }, $set: { locked_until: null } },
        { returnDocument: 'after' },
      )
      .lean<UserDoc>();
    if (user === null) {
      const locked = await users.findOne(where).lean<UserDoc>();
      if (locked?.locked_until != null) throw lockedOut(locked.locked_until);
      await refusePassword(password);
      return null;
    }
    const until = new Date(now.getTime() + lockMs);
    if (user.failed_logins > allowedFailures) throw lockedOut(until);
    if (await isPassword(user.password_hash, password)) {
      await users.updateOne({ _id: user._id }, { $set: { failed_logins: 0 } });
      return user;
    }
    if (user.failed_logins === allowedFailures) await users.updateOne({ _id: user._id }, { $set: { locked_until: until, failed_logins: 0 } });
    return null;
  };

  return {
    login: async (email, password) => {
      const user = await checkPassword({ email_key: email.trim().toLowerCase() }, password);
      if (user === null) throw new TributaryError('UNAUTHENTICATED', 'The email or the password is wrong.');
      if (!user.is_active) throw new TributaryError('UNAUTHENTICATED', 'This account is not active; an administrator can activate it.');
      return { token: tokens.session({ userId: user._id, generation: user.session_generation }), userId: user._id };
    },

    logout: async (token) => {
      const claims = tokens.read(token);
      if (claims.kind === 'service-account') {
        await stores.tokens.deleteOne({ _id: tokenHash(token) });
        return;
      }
      const ended = { kind: 'ended', user_id: claims.sub, created_at: new Date(), expires_at: claims.exp === undefined ? null : new Date(claims.exp * 1000) };
      await stores.tokens.updateOne({ _id: claims.jti }, { $setOnInsert: ended }, { upsert: true });
    },

    identify: async (token) => {
      const claims = tokens.read(token);
      const isSession = claims.kind === 'session';
      const [user, known] = await Promise.all([
        users.findOne({ _id: claims.sub }).lean<UserDoc>(),
        stores.tokens.findOne({ _id: isSession ? claims.jti : tokenHash(token) }, { _id: 1 }).lean(),
      ]);
      const isGood = isSession ? known === null && claims.gen === user?.session_generation : known !== null;
      if (user === null || !user.is_active || !isGood) throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
      const identity = { kind: 'user', userId: user._id, email: user.email, isSuperuser: user.is_superuser } as const;
      const envId = user.active_env_id;
      if (envId === null) return { ...identity, envId: null, teams: {} };
      const mine = { 'members.user_id': user._id };
      const [isMember, teams] = await Promise.all([
        stores.environments.exists({ _id: envId, ...mine }),
        stores.teams.find({ env_id: envId, ...mine }, { members: 1 }).lean(),
      ]);
      // I7: membership may have ended since it was made the active environment.
      if (isMember === null) return { ...identity, envId: null, teams: {} };
      const roles = teams.flatMap((team) => team.members.filter((member) => member.user_id === user._id).map((member) => [team._id, member.role] as const));
      return { ...identity, envId, teams: Object.fromEntries(roles) };
    },

    changePassword: async (userId, current, next) => {
      if ((await checkPassword({ _id: userId }, current)) === null) throw new TributaryError('BAD_REQUEST', 'The current password is wrong.');
      const password_hash = await hashPassword(next);
      await users.updateOne({ _id: userId }, { $set: { password_hash, updated_at: new Date() }, $inc: { session_generation: 1 } });
    },

    serviceAccountToken: async (userId) => {
      const token = tokens.serviceAccount(userId);
      const _id = tokenHash(token);
      await stores.tokens.create({ _id, kind: 'service-account', user_id: userId, created_at: new Date(), expires_at: null });
      await stores.tokens.deleteMany({ user_id: userId, kind: 'service-account', _id: { $ne: _id } });
      return token;
    },
  };
};
