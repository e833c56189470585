/** Accounts and sessions. */
import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';

const tag = 'auth';

export const userView = z
  .object({
    id: z.string(),
    email: z.string(),
    is_active: z.boolean(),
    is_superuser: z.boolean(),
    is_verified: z.boolean(),
    active_env_id: z.string().nullable(),
  })
  .meta({ id: 'User' });
export type UserView = z.infer<typeof userView>;

export const emailField = z.string().trim().max(320).pipe(z.email('is not a valid email address'));
export const passwordField = z.string().min(8, 'must have at least 8 characters').max(1024);

export const bearerToken = z.object({ access_token: z.string(), token_type: z.literal('bearer') }).meta({ id: 'BearerToken' });

export const register = defineEndpoint({
  id: 'register',
  method: 'POST',
  path: '/api/auth/register',
  service: 'pipelines',
  auth: 'public',
  tag,
  summary: 'Create a new user account; `is_superuser` and `is_verified` are ignored',
  body: z.strictObject({
    email: emailField,
    password: passwordField,
    is_active: z.boolean().default(true),
    is_superuser: z.boolean().nullish(),
    is_verified: z.boolean().nullish(),
  }),
  replies: { 201: userView },
  errors: [400],
});

export const login = defineEndpoint({
  id: 'login',
  method: 'POST',
  path: '/api/auth/jwt/login',
  service: 'pipelines',
  auth: 'public',
  tag,
  summary: 'Login and get access token. Five failures lock the account for 15 minutes',
  // OAuth2 password grant (RFC 6749 §4.3.2): clients may add grant_type, scope and their own id.
  body: z.object({ username: z.string().min(1).max(320), password: z.string().min(1).max(1024) }),
  bodyType: 'form',
  replies: { 200: bearerToken },
  errors: [401, 429],
});

export const logout = defineEndpoint({
  id: 'logout',
  method: 'POST',
  path: '/api/auth/jwt/logout',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Logout: the token is no longer accepted',
  replies: { 204: null },
});

export const authEndpoints = [register, login, logout];
