/** Connections, as the pipelines API calls them: connectors. */
import { z } from 'zod';
import { defineEndpoint, idParams, label as name, pageOf, pageQuery } from './endpoint.ts';

const tag = 'connectors';

export const connector = z
  .object({
    id: z.string(),
    name: z.string(),
    type: z.string().meta({ description: '`KAFKA_SOURCE`, `POSTGRESQL_TARGET`, …', examples: ['KAFKA_SOURCE'] }),
    config: z.record(z.string(), z.unknown()).meta({ description: 'Secrets are answered as `<redacted>`' }),
    team_id: z.string().nullable(),
    version: z.number().int(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Connector' });

const config = z.record(z.string(), z.unknown());

const listQuery = pageQuery.extend({ search: z.string().max(255).optional(), team_id: z.string().optional() });

export const listSources = defineEndpoint({
  id: 'listSources',
  method: 'GET',
  path: '/api/connectors/source-config',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'List source configurations',
  query: listQuery,
  replies: { 200: pageOf(connector) },
});

export const listTargets = defineEndpoint({
  id: 'listTargets',
  method: 'GET',
  path: '/api/connectors/target-config',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'List target configurations',
  query: listQuery,
  replies: { 200: pageOf(connector) },
});

export const findConnector = defineEndpoint({
  id: 'findConnector',
  method: 'GET',
  path: '/api/connectors/filter-one',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'Get connector by name',
  query: z.object({ name }),
  replies: { 200: connector },
  errors: [404],
});

export const getConnector = defineEndpoint({
  id: 'getConnector',
  method: 'GET',
  path: '/api/connectors/{id}',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'Get connector by ID',
  params: idParams,
  replies: { 200: connector },
  errors: [404],
});

export const createConnector = defineEndpoint({
  id: 'createConnector',
  method: 'POST',
  path: '/api/connectors',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'Create connector',
  body: z.strictObject({ name, type: z.string().min(1).max(100), config, team_id: z.string().nullish() }),
  replies: { 201: connector },
  errors: [400, 403, 404],
});

export const updateConnector = defineEndpoint({
  id: 'updateConnector',
  method: 'PATCH',
  path: '/api/connectors/{id}',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'Update connector: secrets that are left out or sent back redacted keep what is stored',
  params: idParams,
  body: z.strictObject({ name: name.optional(), config: config.optional() }),
  replies: { 200: connector },
  errors: [400, 403, 404],
});

export const deleteConnector = defineEndpoint({
  id: 'deleteConnector',
  method: 'DELETE',
  path: '/api/connectors/{id}',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'Delete connector; refused while a pipeline uses it',
  params: idParams,
  replies: { 204: null },
  errors: [400, 403, 404],
});

export const connectorEndpoints = [listSources, listTargets, findConnector, getConnector, createConnector, updateConnector, deleteConnector];
