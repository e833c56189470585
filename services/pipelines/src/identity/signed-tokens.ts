/** Bearer tokens: JWT (RFC 7519), HS256 and nothing else. */
import { createHash, randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import jwt from 'jsonwebtoken';
import { z } from 'zod';

const audience = 'tributary:auth';
const algorithm = 'HS256';

const payload = z.object({
  sub: z.string(),
  jti: z.string(),
  /** The user's session generation, for sessions. */
  gen: z.number().optional(),
  kind: z.enum(['session', 'service-account']),
  /** Seconds since 1970. */
  exp: z.number().optional(),
});
export type TokenClaims = z.infer<typeof payload>;

export interface SignedTokens {
  session(user: { readonly userId: string; readonly generation: number }): string;
  serviceAccount(userId: string): string;
  /** @throws UNAUTHENTICATED when it is forged, expired or of another kind. */
  read(token: string): TokenClaims;
}

/** `lifetimeSeconds`: of a session; service account tokens do not expire. */
export const createSignedTokens = (options: { readonly secret: string; readonly lifetimeSeconds: number }): SignedTokens => {
  const sign = (claims: object, more: jwt.SignOptions): string =>
    jwt.sign(claims, options.secret, { algorithm, audience: [audience], jwtid: randomUUID(), ...more });
  return {
    session: ({ userId, generation }) => sign({ kind: 'session', gen: generation }, { subject: userId, expiresIn: options.lifetimeSeconds }),
    serviceAccount: (userId) => sign({ kind: 'service-account' }, { subject: userId }),
    read: (token) => {
      try {
        return payload.parse(jwt.verify(token, options.secret, { algorithms: [algorithm], audience }));
      } catch (error) {
        throw new TributaryError('UNAUTHENTICATED', 'Unauthorized', { cause: error });
      }
    },
  };
};

/** What is stored of a service account token. */
export const tokenHash = (token: string): string => createHash('sha256').update(token).digest('hex');
