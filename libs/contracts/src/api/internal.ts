/** What the services ask each other, with the service token. The gateway never routes these. */
import { z } from 'zod';
import { mapperConfig } from '../mapper.ts';
import { defineEndpoint, idParams } from './endpoint.ts';

/** Who a user token belongs to. 401 when it is forged, expired, revoked, or the user is gone or inactive. */
export const resolveIdentity = defineEndpoint({
  id: 'resolveIdentity',
  method: 'POST',
  path: '/internal/identity',
  service: 'pipelines',
  auth: 'service',
  tag: 'internal',
  summary: 'Who a user token belongs to',
  body: z.object({ token: z.string() }),
  replies: {
    200: z.object({
      kind: z.literal('user'),
      userId: z.string(),
      email: z.string(),
      isSuperuser: z.boolean(),
      envId: z.string().nullable(),
      teams: z.record(z.string(), z.enum(['owner', 'member'])),
    }),
  },
});

export const slotSpec = z.object({
  pipeline_id: z.string(),
  pipeline_name: z.string(),
  env_id: z.string(),
  version: z.number().int(),
  subscription_id: z.string(),
  consumer_id: z.string(),
  source_connection_id: z.string(),
  target_connection_id: z.string(),
  /** Table, topic or path to read; null: the one the source's config names. */
  stream: z.string().nullable(),
  target_table: z.string(),
  backfill: z.boolean(),
  /** When the subscription was first started: without backfill, data from then on. */
  started_at: z.iso.datetime(),
  mapper: mapperConfig.nullable(),
  /** null: rejected rows end the slot. */
  error_table: z.string().nullable(),
});
export type SlotSpec = z.infer<typeof slotSpec>;

/** What a worker needs to run the slots of one subscription. Holds nothing secret. */
export const getSlotSpec = defineEndpoint({
  id: 'getSlotSpec',
  method: 'GET',
  path: '/internal/pipelines/{id}/subscriptions/{subscription_id}',
  service: 'pipelines',
  auth: 'service',
  tag: 'internal',
  summary: 'What a worker needs to run the slots of one subscription',
  params: z.object({ id: z.string(), subscription_id: z.string() }),
  replies: { 200: slotSpec },
  errors: [404],
});

/** Names of the pipelines that use a connection: it cannot be deleted while there are any. */
export const getConnectionUses = defineEndpoint({
  id: 'getConnectionUses',
  method: 'GET',
  path: '/internal/connections/{id}/uses',
  service: 'pipelines',
  auth: 'service',
  tag: 'internal',
  summary: 'Pipelines that use a connection',
  params: idParams,
  query: z.object({ env_id: z.string() }),
  replies: { 200: z.object({ pipelines: z.array(z.object({ id: z.string(), name: z.string(), state: z.string() })) }) },
});

/**
 * Says that a connection's configuration changed: running pipelines that use it go on with it, by a new version.
 * Both configs redacted. One that names other data than before (another topic, table, …) makes subscriptions begin anew.
 */
export const connectionChanged = defineEndpoint({
  id: 'connectionChanged',
  method: 'POST',
  path: '/internal/connections/{id}/changed',
  service: 'pipelines',
  auth: 'service',
  tag: 'internal',
  summary: 'A connection was changed',
  params: idParams,
  body: z.object({ env_id: z.string(), before: z.record(z.string(), z.unknown()), after: z.record(z.string(), z.unknown()) }),
  replies: { 200: z.object({ pipelines: z.number().int() }) },
});

/** A connection with its secrets redacted, as other services may see it. */
export const connectionView = z.object({
  id: z.string(),
  env_id: z.string(),
  team_id: z.string().nullable(),
  name: z.string(),
  /** `KAFKA_SOURCE` */
  type: z.string(),
  config: z.record(z.string(), z.unknown()),
  version: z.number().int(),
  /** Made by and deleted with this pipeline; null: it stands alone. */
  pipeline_id: z.string().nullable(),
  created_at: z.string(),
  updated_at: z.string(),
});
export type ConnectionView = z.infer<typeof connectionView>;

const connectionQuery = z.object({ env_id: z.string() });

/** Creates a connection under an id chosen by the caller; the same call again answers the same. 422 names wrong config fields under `body.config`. */
export const putConnection = defineEndpoint({
  id: 'putConnection',
  method: 'PUT',
  path: '/internal/connections/{id}',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: 'Create a connection under a chosen id',
  params: idParams,
  body: z.object({
    env_id: z.string(),
    team_id: z.string().nullable(),
    pipeline_id: z.string().nullable(),
    name: z.string(),
    type: z.string(),
    config: z.record(z.string(), z.unknown()),
    created_by: z.string(),
  }),
  replies: { 200: connectionView, 201: connectionView },
  errors: [409],
});

/** Changes name or config. Secrets that are redacted or left out keep what is stored. */
export const patchConnection = defineEndpoint({
  id: 'patchConnection',
  method: 'PATCH',
  path: '/internal/connections/{id}',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: 'Change a connection',
  params: idParams,
  body: z.object({ env_id: z.string(), name: z.string().optional(), config: z.record(z.string(), z.unknown()).optional() }),
  replies: { 200: connectionView },
  errors: [404, 409],
});

export const getConnection = defineEndpoint({
  id: 'getConnection',
  method: 'GET',
  path: '/internal/connections/{id}',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: 'A connection, redacted',
  params: idParams,
  query: connectionQuery,
  replies: { 200: connectionView },
  errors: [404],
});

/** Many connections at once, for lists; ids of other environments are left out. */
export const getConnections = defineEndpoint({
  id: 'getConnections',
  method: 'POST',
  path: '/internal/connections/by-ids',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: 'Several connections, redacted',
  body: z.object({ env_id: z.string(), ids: z.array(z.string()).max(2000) }),
  replies: { 200: z.object({ connections: z.array(connectionView) }) },
});

/** Deletes it, whether or not it was there. */
export const deleteConnection = defineEndpoint({
  id: 'deleteConnection',
  method: 'DELETE',
  path: '/internal/connections/{id}',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: 'Delete a connection',
  params: idParams,
  query: connectionQuery,
  replies: { 204: null },
});

/** The only answer of the platform that holds opened secrets: for a worker, over the internal network, never cached or logged (I6). */
export const getConnectionForWorker = defineEndpoint({
  id: 'getConnectionForWorker',
  method: 'GET',
  path: '/internal/connections/{id}/worker-config',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: 'A connection with its secrets opened, for a worker',
  params: idParams,
  query: connectionQuery,
  replies: {
    200: z.object({
      id: z.string(),
      slug: z.string(),
      role: z.enum(['source', 'target']),
      version: z.number().int(),
      config: z.record(z.string(), z.unknown()),
    }),
  },
  errors: [404],
});

/** The environment's own 32-byte key for `encrypt_method`, base64; made on first use and kept sealed. */
export const getDataKey = defineEndpoint({
  id: 'getDataKey',
  method: 'GET',
  path: '/internal/data-keys/{id}',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: "An environment's key for encrypted columns",
  params: idParams,
  replies: { 200: z.object({ key: z.string() }) },
});

/** Deletes all connections and the data key of an environment that is being deleted, whether or not there are any. */
export const deleteEnvironmentConnections = defineEndpoint({
  id: 'deleteEnvironmentConnections',
  method: 'DELETE',
  path: '/internal/environments/{id}',
  service: 'connectors',
  auth: 'service',
  tag: 'internal',
  summary: "Delete an environment's connections",
  params: idParams,
  replies: { 204: null },
});
