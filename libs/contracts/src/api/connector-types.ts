/** Trying a configuration before it is saved. `{type}` is `kafka-source`, `postgresql-target`, … */
import { z } from 'zod';
import { defineEndpoint, type Endpoint } from './endpoint.ts';

const tag = 'connector types';
const typeParams = z.object({ type: z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*-(source|target)$/, 'must look like kafka-source') });
const config = z.record(z.string(), z.unknown());

export const connectorTypeInfo = z
  .object({
    type: z.string().meta({ examples: ['KAFKA_SOURCE'] }),
    slug: z.string(),
    role: z.enum(['source', 'target']),
    name: z.string(),
    category: z.string(),
    description: z.string(),
    /** JSON Schema of the config; secret fields carry `secret: true`. */
    schema: z.record(z.string(), z.unknown()),
    /** Targets: rows arrive exactly once, or at least once. */
    guarantee: z.enum(['exactly-once', 'at-least-once']).nullable(),
  })
  .meta({ id: 'ConnectorType' });

export const listConnectorTypes = defineEndpoint({
  id: 'listConnectorTypes',
  method: 'GET',
  path: '/api/connector-types',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'The connector types there are, with the schema of their configuration',
  replies: { 200: z.array(connectorTypeInfo) },
});

export const checkResult = z.object({
  is_success: z.boolean(),
  message: z.string(),
  steps: z.array(z.object({ name: z.string(), ok: z.boolean(), message: z.string(), milliseconds: z.number() })),
});

export const checkCredentials = defineEndpoint({
  id: 'checkCredentials',
  method: 'POST',
  path: '/api/connector-types/{type}/check-credentials',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'Try a configuration; a failed try answers 200 with is_success false',
  params: typeParams,
  body: config,
  replies: { 200: checkResult },
  errors: [404],
});

export const fetchMessages = defineEndpoint({
  id: 'fetchMessages',
  method: 'POST',
  path: '/api/connector-types/{type}/fetch-messages',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'The newest records of a source',
  params: typeParams,
  query: z.object({ limit: z.coerce.number().int().min(1).max(100).default(10) }),
  body: config,
  replies: { 200: z.object({ messages: z.array(z.unknown()) }) },
  errors: [404],
});

export const listTopics = defineEndpoint({
  id: 'listTopics',
  method: 'POST',
  path: '/api/connector-types/{type}/list-topics',
  service: 'connectors',
  auth: 'user',
  tag,
  summary: 'Topics, tables or files a source could read',
  params: typeParams,
  body: config,
  replies: { 200: z.object({ topics: z.array(z.string()) }) },
  errors: [404],
});

/** `/api/kafka-source/check-credentials` answers like `/api/connector-types/kafka-source/check-credentials`. */
const withoutPrefix = <E extends Endpoint>(endpoint: E, id: string): E => ({ ...endpoint, id, path: endpoint.path.replace('/connector-types', '') });

export const checkCredentialsShort = withoutPrefix(checkCredentials, 'checkCredentialsShort');
export const fetchMessagesShort = withoutPrefix(fetchMessages, 'fetchMessagesShort');
export const listTopicsShort = withoutPrefix(listTopics, 'listTopicsShort');

export const connectorTypeEndpoints = [
  listConnectorTypes,
  checkCredentials,
  fetchMessages,
  listTopics,
  checkCredentialsShort,
  fetchMessagesShort,
  listTopicsShort,
];
