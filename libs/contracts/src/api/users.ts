/** Users, as others of their environment and superusers see them. */
import { z } from 'zod';
import { bearerToken, emailField, passwordField, userView } from './auth.ts';
import { defineEndpoint, idParams, pageOf, pageQuery } from './endpoint.ts';

const tag = 'users';

export const listUsers = defineEndpoint({
  id: 'listUsers',
  method: 'GET',
  path: '/api/users',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Members of the active environment; superusers see all users',
  query: pageQuery.extend({ search: z.string().max(320).optional() }),
  replies: { 200: pageOf(userView) },
});

export const getMe = defineEndpoint({
  id: 'getMe',
  method: 'GET',
  path: '/api/users/me',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Who the token belongs to',
  replies: { 200: userView },
});

export const getUser = defineEndpoint({
  id: 'getUser',
  method: 'GET',
  path: '/api/users/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get user details',
  params: idParams,
  replies: { 200: userView },
  errors: [404],
});

export const updateUser = defineEndpoint({
  id: 'updateUser',
  method: 'PATCH',
  path: '/api/users/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Update user. `active_env_id` switches the environment; `password` and the `is_…` flags are for superusers',
  params: idParams,
  body: z.strictObject({
    email: emailField.optional(),
    active_env_id: z.string().max(64).nullable().optional(),
    password: passwordField.optional(),
    is_active: z.boolean().optional(),
    is_superuser: z.boolean().optional(),
    is_verified: z.boolean().optional(),
  }),
  replies: { 200: userView },
  errors: [400, 403, 404],
});

export const deleteUser = defineEndpoint({
  id: 'deleteUser',
  method: 'DELETE',
  path: '/api/users/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Delete user: oneself, or anyone for a superuser',
  params: idParams,
  replies: { 204: null },
  errors: [400, 403, 404],
});

export const changePassword = defineEndpoint({
  id: 'changePassword',
  method: 'POST',
  path: '/api/users/me/change-password',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: "Change current user's password; ends every session, so log in again",
  body: z.strictObject({ current_password: z.string().min(1).max(1024), new_password: passwordField }),
  replies: { 204: null },
  errors: [400, 429],
});

export const createServiceAccountToken = defineEndpoint({
  id: 'createServiceAccountToken',
  method: 'POST',
  path: '/api/users/me/service-account-token',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Create service account token: it does not expire, is shown once, and replaces the one before',
  replies: { 201: bearerToken },
});

export const userEndpoints = [listUsers, getMe, getUser, updateUser, deleteUser, changePassword, createServiceAccountToken];
