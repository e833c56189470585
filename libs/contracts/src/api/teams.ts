/** Teams and their members. */
import { z } from 'zod';
import { defineEndpoint, idParams, pageOf, pageQuery } from './endpoint.ts';

const tag = 'teams';
const name = z.string().trim().min(1).max(255);
const description = z.string().max(2000).nullish();

export const teamView = z.object({ id: z.string(), name: z.string(), description: z.string().nullable(), env_id: z.string() }).meta({ id: 'Team' });
export type TeamView = z.infer<typeof teamView>;

export const teamMember = z.object({ id: z.string(), email: z.string(), role: z.enum(['owner', 'member']) }).meta({ id: 'TeamMember' });

export const listTeams = defineEndpoint({
  id: 'listTeams',
  method: 'GET',
  path: '/api/teams',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'List the teams of the active environment',
  query: pageQuery.extend({ search: z.string().max(255).optional() }),
  replies: { 200: pageOf(teamView) },
});

export const createTeam = defineEndpoint({
  id: 'createTeam',
  method: 'POST',
  path: '/api/teams',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Create a new team in the active environment; you own it',
  body: z.strictObject({ name, description }),
  replies: { 201: teamView },
  errors: [400],
});

export const findTeam = defineEndpoint({
  id: 'findTeam',
  method: 'GET',
  path: '/api/teams/filter-one',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get team by name',
  query: z.object({ name }),
  replies: { 200: teamView },
  errors: [404],
});

export const getTeam = defineEndpoint({
  id: 'getTeam',
  method: 'GET',
  path: '/api/teams/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get team details',
  params: idParams,
  replies: { 200: teamView },
  errors: [404],
});

export const updateTeam = defineEndpoint({
  id: 'updateTeam',
  method: 'PATCH',
  path: '/api/teams/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Update team; for its owners',
  params: idParams,
  body: z.strictObject({ name: name.optional(), description }),
  replies: { 200: teamView },
  errors: [400, 403, 404],
});

export const deleteTeam = defineEndpoint({
  id: 'deleteTeam',
  method: 'DELETE',
  path: '/api/teams/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Delete team; for its owners, refused while it has pipelines',
  params: idParams,
  replies: { 204: null },
  errors: [400, 403, 404],
});

export const listTeamMembers = defineEndpoint({
  id: 'listTeamMembers',
  method: 'GET',
  path: '/api/teams/{id}/members',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'List team members',
  params: idParams,
  replies: { 200: z.array(teamMember) },
  errors: [404],
});

export const addTeamMembers = defineEndpoint({
  id: 'addTeamMembers',
  method: 'POST',
  path: '/api/teams/{id}/members/bulk',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Add multiple members; those already there are skipped, a member named under `owners` becomes an owner',
  params: idParams,
  body: z.strictObject({ members: z.array(z.string().min(1).max(64)).max(1000).nullish(), owners: z.array(z.string().min(1).max(64)).max(1000).nullish() }),
  replies: { 204: null },
  errors: [400, 403, 404],
});

export const removeTeamMember = defineEndpoint({
  id: 'removeTeamMember',
  method: 'DELETE',
  path: '/api/teams/{id}/members/{user_id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Remove a member; the last owner stays while others remain',
  params: idParams.extend({ user_id: z.string().min(1).max(64) }),
  replies: { 204: null },
  errors: [400, 403, 404],
});

export const teamEndpoints = [listTeams, createTeam, findTeam, getTeam, updateTeam, deleteTeam, listTeamMembers, addTeamMembers, removeTeamMember];
