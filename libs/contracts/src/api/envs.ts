/** Environments: the tenants. */
import { z } from 'zod';
import { defineEndpoint, idParams, pageOf, pageQuery } from './endpoint.ts';

const tag = 'environments';
const name = z.string().trim().min(1).max(255);
const description = z.string().max(2000).nullish();

export const envView = z
  .object({
    id: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    use_retention: z.boolean(),
    retention_configuration: z.null(),
  })
  .meta({ id: 'Environment' });
export type EnvView = z.infer<typeof envView>;

/** A Kafka cluster of the environment's own is not offered yet: only null is taken. */
const retentionConfiguration = z.null({ error: 'must be null: a retention cluster of your own is not available on this installation' }).optional();

export const listEnvs = defineEndpoint({
  id: 'listEnvs',
  method: 'GET',
  path: '/api/envs',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'List the environments you are a member of',
  query: pageQuery.extend({ search: z.string().max(255).optional() }),
  replies: { 200: pageOf(envView) },
});

export const createEnv = defineEndpoint({
  id: 'createEnv',
  method: 'POST',
  path: '/api/envs',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Create a new environment: you own it, and it becomes your active one',
  body: z.strictObject({ name, description, use_retention: z.boolean().nullish(), retention_configuration: retentionConfiguration }),
  replies: { 201: envView },
  errors: [400],
});

export const findEnv = defineEndpoint({
  id: 'findEnv',
  method: 'GET',
  path: '/api/envs/filter-one',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get environment by name',
  query: z.object({ name }),
  replies: { 200: envView },
  errors: [404],
});

export const getEnv = defineEndpoint({
  id: 'getEnv',
  method: 'GET',
  path: '/api/envs/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get environment details',
  params: idParams,
  replies: { 200: envView },
  errors: [404],
});

export const updateEnv = defineEndpoint({
  id: 'updateEnv',
  method: 'PATCH',
  path: '/api/envs/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Update environment; for its owners',
  params: idParams,
  body: z.strictObject({ name: name.optional(), description, use_retention: z.boolean().optional(), retention_configuration: retentionConfiguration }),
  replies: { 200: envView },
  errors: [400, 403, 404],
});

export const deleteEnv = defineEndpoint({
  id: 'deleteEnv',
  method: 'DELETE',
  path: '/api/envs/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Delete environment with its teams and connectors; for its owners, refused while it has pipelines',
  params: idParams,
  replies: { 204: null },
  errors: [400, 403, 404],
});

export const envEndpoints = [listEnvs, createEnv, findEnv, getEnv, updateEnv, deleteEnv];
