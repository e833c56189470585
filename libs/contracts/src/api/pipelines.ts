/** Pipelines, flat as the guide shows them. */
import { z } from 'zod';
import { countsSchema } from '../events/slot-reports.ts';
import { givenMapperConfig, mapperConfig } from '../mapper.ts';
import { defineEndpoint, idParams, label, pageOf, pageQuery } from './endpoint.ts';
import { slotSpec } from './internal.ts';

const tag = 'pipelines';

export const shownStates = ['draft', 'building', 'live', 'paused', 'error'] as const;

const pipelineName = z
  .string()
  .min(1, 'must not be empty')
  .max(255, 'must have at most 255 characters')
  .regex(/^[A-Za-z0-9_-]*$/, 'must contain only letters, digits, hyphens and underscores');
const anyId = z.string().min(1).max(64);
const config = z.record(z.string(), z.unknown());

/** Fields that say where a pipeline reads and writes: each side either an existing connection or a new one. */
const sideFields = {
  existing_source_id: anyId.nullish().meta({ description: 'An existing source connector, instead of a new one' }),
  source_name: label.nullish(),
  source_type: z
    .string()
    .min(1)
    .max(100)
    .nullish()
    .meta({ examples: ['KAFKA_SOURCE'] }),
  source_config: config.nullish(),
  existing_target_id: anyId.nullish().meta({ description: 'An existing target connector, instead of a new one' }),
  target_name: label.nullish(),
  target_type: z
    .string()
    .min(1)
    .max(100)
    .nullish()
    .meta({ examples: ['KAFKA_TARGET'] }),
  target_config: config.nullish(),
};

const flowFields = {
  parallelism: z.number().int().min(1).max(64).nullish().meta({ description: 'How many workers may share the pipeline; default 1' }),
  datamodel_source_topic: label.nullish().meta({ description: 'Topic, table or path to read, instead of the one that the source names' }),
  datamodel_target_topic: label.nullish(),
  datamodel_error_table_enabled: z.boolean().nullish(),
  datamodel_error_table_name: label.nullish(),
  datamodel_error_table_target_id: anyId.nullish(),
  subscription_target_table_name: label.nullish().meta({ description: 'Table, topic or file to write' }),
  subscription_backfill: z.boolean().nullish().meta({ description: 'true: from the earliest record; false: what comes after the start' }),
  subscription_mapper_config: givenMapperConfig.nullish(),
  subscription_consumer_id: label.nullish().meta({ description: 'Made when it is not given' }),
  subscription_error_table_enabled: z.boolean().nullish().meta({ description: 'Default true' }),
  subscription_error_table_name: label.nullish().meta({ description: 'Default: the target table with `_errors`' }),
  subscription_error_table_target_id: anyId.nullish().meta({ description: "The pipeline's own target, or left out" }),
};

type SideGiven = { readonly [K in 'existing_source_id' | 'existing_target_id' | `${'source' | 'target'}_${'name' | 'type'}`]?: string | null } & {
  readonly [K in 'source_config' | 'target_config']?: unknown;
};

/** Not both ways for one side. */
const refuseBoth = (given: SideGiven, context: z.RefinementCtx): void => {
  for (const side of ['source', 'target'] as const) {
    const isNew = given[`${side}_name`] != null || given[`${side}_type`] != null || given[`${side}_config`] != null;
    if (!isNew || given[`existing_${side}_id`] == null) continue;
    context.addIssue({ code: 'custom', path: [`existing_${side}_id`], message: `Cannot specify both existing_${side}_id and ${side}_name/type/config` });
  }
};

/** A new connection needs its three fields; nothing at all leaves the side open, which a draft may. */
const requireWholeSides = (given: SideGiven, context: z.RefinementCtx): void => {
  for (const side of ['source', 'target'] as const) {
    const names = [`${side}_name`, `${side}_type`, `${side}_config`] as const;
    const missing = names.filter((name) => given[name] == null);
    if (missing.length === 0 || missing.length === 3) continue;
    // The message is the one zod itself gives, so that it is answered like any other missing field.
    for (const name of missing)
      context.addIssue({
        code: 'invalid_type',
        expected: name.endsWith('config') ? 'record' : 'string',
        input: undefined,
        path: [name],
        message: 'Invalid input: received undefined',
      });
  }
};

export const pipelineBody = z
  .strictObject({ name: pipelineName, team_id: anyId, ...sideFields, ...flowFields })
  .superRefine(refuseBoth)
  .superRefine(requireWholeSides);
export type PipelineBody = z.output<typeof pipelineBody>;

export const pipelineChange = z
  .strictObject({ name: pipelineName.optional(), team_id: anyId.optional(), ...sideFields, ...flowFields })
  .superRefine(refuseBoth);
export type PipelineChange = z.output<typeof pipelineChange>;

const pipelineError = z.object({ code: z.string(), message: z.string(), help: z.string(), retry_at: z.string().nullable() });

/** What the guide calls the pipeline's configuration: enough to make it again, without secrets and ids of this installation. */
const answeredFields = {
  existing_source_id: z.string().nullable(),
  source_name: z.string().nullable(),
  source_type: z.string().nullable(),
  source_config: config.nullable().meta({ description: 'Secrets are answered as `<redacted>`' }),
  existing_target_id: z.string().nullable(),
  target_name: z.string().nullable(),
  target_type: z.string().nullable(),
  target_config: config.nullable().meta({ description: 'Secrets are answered as `<redacted>`' }),
  parallelism: z.number().int(),
  datamodel_source_topic: z.string().nullable(),
  datamodel_target_topic: z.string().nullable(),
  datamodel_error_table_enabled: z.boolean(),
  datamodel_error_table_name: z.string().nullable(),
  datamodel_error_table_target_id: z.string().nullable(),
  subscription_target_table_name: z.string().nullable(),
  subscription_backfill: z.boolean(),
  subscription_mapper_config: mapperConfig.nullable(),
  subscription_consumer_id: z.string(),
  subscription_error_table_enabled: z.boolean(),
  subscription_error_table_name: z.string().nullable(),
  subscription_error_table_target_id: z.string().nullable(),
};

export const pipelineView = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(shownStates),
    version: z.number().int(),
    team_id: z.string(),
    team_name: z.string(),
    ...answeredFields,
    datamodel_id: z.string(),
    subscription_id: z.string(),
    error: pipelineError.nullable().meta({ description: 'Why it is in state `error`' }),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Pipeline' });
export type PipelineView = z.infer<typeof pipelineView>;

export const pipelineStatus = z
  .object({
    id: z.string(),
    name: z.string(),
    team_id: z.string(),
    state: z.enum(shownStates),
    version: z.number().int(),
    error: pipelineError.nullable(),
    updated_at: z.string(),
  })
  .meta({ id: 'PipelineStatus' });

const filters = pageQuery.extend({
  state: z.enum(shownStates).optional(),
  team_id: z.string().max(64).optional(),
  search: z.string().max(255).optional(),
});

export const listPipelines = defineEndpoint({
  id: 'listPipelines',
  method: 'GET',
  path: '/api/pipelines',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'List the pipelines of the active environment',
  query: filters,
  replies: { 200: pageOf(pipelineView) },
});

export const countPipelines = defineEndpoint({
  id: 'countPipelines',
  method: 'GET',
  path: '/api/pipelines/count-status',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Count pipelines by status',
  query: z.object({ team_id: z.string().max(64).optional() }),
  replies: { 200: z.object({ all: z.number(), draft: z.number(), building: z.number(), live: z.number(), paused: z.number(), error: z.number() }) },
});

export const findPipeline = defineEndpoint({
  id: 'findPipeline',
  method: 'GET',
  path: '/api/pipelines/filter-one',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get pipeline by name; the oldest, where teams share it',
  query: z.object({ name: z.string().min(1).max(255), team_id: z.string().max(64).optional() }),
  replies: { 200: pipelineView },
  errors: [404],
});

export const listStatus = defineEndpoint({
  id: 'listStatus',
  method: 'GET',
  path: '/api/pipelines/status/all-non-draft',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'List non-draft pipelines with status',
  query: pageQuery,
  replies: { 200: pageOf(pipelineStatus) },
});

export const createPipeline = defineEndpoint({
  id: 'createPipeline',
  method: 'POST',
  path: '/api/pipelines',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Create a new pipeline, with new or existing connectors',
  body: pipelineBody,
  replies: { 201: pipelineView },
  errors: [400, 403, 404],
});

export const getPipeline = defineEndpoint({
  id: 'getPipeline',
  method: 'GET',
  path: '/api/pipelines/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get pipeline details',
  params: idParams,
  replies: { 200: pipelineView },
  errors: [404],
});

export const updatePipeline = defineEndpoint({
  id: 'updatePipeline',
  method: 'PATCH',
  path: '/api/pipelines/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Update pipeline. Secrets left out or sent back redacted keep what is stored; a running pipeline goes on with the new version by itself',
  params: idParams,
  body: pipelineChange,
  replies: { 200: pipelineView },
  errors: [400, 403, 404],
});

export const deletePipeline = defineEndpoint({
  id: 'deletePipeline',
  method: 'DELETE',
  path: '/api/pipelines/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Stop and delete pipeline, with the connectors it made unless another pipeline uses them',
  params: idParams,
  replies: { 204: null },
  errors: [403, 404],
});

export const startPipeline = defineEndpoint({
  id: 'startPipeline',
  method: 'POST',
  path: '/api/pipelines/{id}/start',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Start pipeline; `LIVE` when it already runs',
  params: idParams,
  replies: { 202: z.enum(['BUILDING', 'LIVE']) },
  errors: [400, 403, 404],
});

export const pausePipeline = defineEndpoint({
  id: 'pausePipeline',
  method: 'POST',
  path: '/api/pipelines/{id}/pause',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Pause pipeline: it goes on exactly there when it is started again',
  params: idParams,
  replies: { 202: z.literal('PAUSED') },
  errors: [400, 403, 404],
});

export const getPipelineStatus = defineEndpoint({
  id: 'getPipelineStatus',
  method: 'GET',
  path: '/api/pipelines/{id}/status',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get pipeline status (deprecated: GET /api/pipelines/{id} holds it)',
  params: idParams,
  replies: { 200: pipelineStatus },
  errors: [404],
});

/** Fields of the body of a new pipeline but the team; secrets are redacted, so importing it into the same pipeline keeps them. */
export const pipelineConfiguration = z.object({ name: z.string(), ...answeredFields }).meta({ id: 'PipelineConfiguration' });

export const exportPipeline = defineEndpoint({
  id: 'exportPipeline',
  method: 'GET',
  path: '/api/pipelines/{id}/configuration',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Export pipeline config; secrets are never in it',
  params: idParams,
  replies: { 200: pipelineConfiguration },
  errors: [404],
});

export const importPipeline = defineEndpoint({
  id: 'importPipeline',
  method: 'POST',
  path: '/api/pipelines/{id}/configuration',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Import pipeline config, as it was exported; redacted secrets keep what is stored',
  params: idParams,
  body: pipelineChange,
  replies: { 200: pipelineView },
  errors: [400, 403, 404],
});

export const getWorkerConfig = defineEndpoint({
  id: 'getWorkerConfig',
  method: 'GET',
  path: '/api/pipelines/{id}/worker-config',
  service: 'pipelines',
  auth: 'service',
  tag,
  summary: 'What a worker needs to run the pipeline; for the service token only, and without secrets',
  params: idParams,
  replies: {
    200: z.object({
      id: z.string(),
      state: z.enum(shownStates),
      version: z.number().int(),
      generation: z.number().int(),
      parallelism: z.number().int(),
      subscriptions: z.array(slotSpec),
    }),
  },
  errors: [400, 404],
});

const latency = {
  p50: z.number().nullable(),
  p95: z.number().nullable(),
  p99: z.number().nullable(),
  lag: z.number().nullable(),
  last_event_at: z.string().nullable(),
};

export const getLatency = defineEndpoint({
  id: 'getLatency',
  method: 'GET',
  path: '/api/pipelines/{id}/latency-informations',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'End-to-end latency in milliseconds, of the slowest part; lag in messages; null where nothing was measured yet',
  params: idParams,
  replies: { 200: z.object({ ...latency, subscriptions: z.array(z.object({ subscription_id: z.string(), ...latency })) }) },
  errors: [404],
});

const slotView = z.object({
  subscription_id: z.string(),
  slice: z.number().int(),
  slices: z.number().int(),
  state: z.enum(['waiting', 'live', 'failed', 'stopped']),
  counts: countsSchema,
  lag: z.number().nullable(),
  error: pipelineError.nullable(),
});

export const getCounts = defineEndpoint({
  id: 'getCounts',
  method: 'GET',
  path: '/api/pipelines/{id}/counts',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'What was read and written since the pipeline began; `balanced`: read = mapped + filtered + rejected, and emitted = written + refused',
  params: idParams,
  replies: {
    200: z.object({
      counts: countsSchema,
      balanced: z.boolean(),
      subscriptions: z.array(z.object({ subscription_id: z.string(), counts: countsSchema, balanced: z.boolean() })),
      slots: z.array(slotView),
    }),
  },
  errors: [404],
});

export const pipelineEndpoints = [
  listPipelines,
  countPipelines,
  findPipeline,
  listStatus,
  createPipeline,
  getPipeline,
  updatePipeline,
  deletePipeline,
  startPipeline,
  pausePipeline,
  getPipelineStatus,
  exportPipeline,
  importPipeline,
  getWorkerConfig,
  getLatency,
  getCounts,
];
