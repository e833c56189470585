/** The OpenAPI 3.1 document, made from the declared endpoints and nothing else. */
import { z } from 'zod';
import { publicEndpoints } from './api/catalogue.ts';
import { errorBody, type Endpoint } from './api/endpoint.ts';

type JsonObject = Record<string, unknown>;

const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): JsonObject => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12', reused: 'inline' }) as JsonObject;
  return rest;
};

const parameters = (endpoint: Endpoint): JsonObject[] =>
  (['path', 'query'] as const).flatMap((where) => {
    const schema = where === 'path' ? endpoint.params : endpoint.query;
    if (schema === undefined) return [];
    const { properties = {}, required = [] } = jsonSchema(schema, 'input') as { properties?: Record<string, JsonObject>; required?: string[] };
    return Object.entries(properties).map(([name, property]) => ({ name, in: where, required: where === 'path' || required.includes(name), schema: property }));
  });

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'Done, nothing to answer',
  400: 'Not possible; the message says why',
  401: 'No token, or one that is not valid',
  403: 'Not permitted for your role',
  404: 'Not there, or not in your environment',
  409: 'In conflict with the present state',
  413: 'Body too large',
  422: 'Fields are missing or wrong',
  429: 'Too many requests',
  503: 'A service is not reachable; try again after Retry-After',
};

const operation = (endpoint: Endpoint): JsonObject => {
  const errorStatuses = new Set([
    ...(endpoint.errors ?? []),
    ...(endpoint.auth === 'public' ? [] : [401]),
    ...((endpoint.params ?? endpoint.query ?? endpoint.body) ? [422] : []),
    503,
  ]);
  const replies = Object.entries(endpoint.replies).map(([status, schema]) => [
    status,
    {
      description: reasons[Number(status)] ?? 'Reply',
      ...(schema === null ? {} : { content: { 'application/json': { schema: jsonSchema(schema, 'output') } } }),
    },
  ]);
  const errors = [...errorStatuses]
    .toSorted((a, b) => a - b)
    .map((status) => [
      String(status),
      { description: reasons[status] ?? 'Error', content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
    ]);
  return {
    operationId: endpoint.id,
    tags: [endpoint.tag],
    summary: endpoint.summary,
    ...(endpoint.auth === 'public' ? { security: [] } : {}),
    parameters: parameters(endpoint),
    ...(endpoint.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              [endpoint.bodyType === 'form' ? 'application/x-www-form-urlencoded' : 'application/json']: { schema: jsonSchema(endpoint.body, 'input') },
            },
          },
        }),
    responses: Object.fromEntries([...replies, ...errors]),
  };
};

/** Moves the named schemas that zod puts beside each use into one place: a reference is looked up from the document's root. */
const withSharedSchemas = (node: unknown, schemas: JsonObject): unknown => {
  if (Array.isArray(node)) return node.map((item) => withSharedSchemas(item, schemas));
  if (typeof node !== 'object' || node === null) return node;
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === '$defs') for (const [name, schema] of Object.entries(value as JsonObject)) schemas[name] = withSharedSchemas(schema, schemas);
    else kept[key] = key === '$ref' && typeof value === 'string' ? value.replace('#/$defs/', '#/components/schemas/') : withSharedSchemas(value, schemas);
  }
  return kept;
};

export const openApiDocument = (): JsonObject => {
  const declared: Record<string, JsonObject> = {};
  for (const endpoint of publicEndpoints) (declared[endpoint.path] ??= {})[endpoint.method.toLowerCase()] = operation(endpoint);
  const schemas: JsonObject = {};
  const paths = withSharedSchemas(declared, schemas);
  withSharedSchemas(jsonSchema(errorBody, 'output'), schemas);
  return {
    openapi: '3.1.0',
    info: { title: 'Tributary', version: '0.1.0', description: 'Moves data from any source to any target, continuously or on a schedule.' },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas,
    },
  };
};
