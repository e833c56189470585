/** Data models: one stream of one source connection. A pipeline has one. */
import { z } from 'zod';
import { defineEndpoint, idParams, pageOf, pageQuery } from './endpoint.ts';

const tag = 'data models';

export const dataModelView = z
  .object({
    id: z.string(),
    pipeline_id: z.string(),
    pipeline_name: z.string(),
    team_id: z.string(),
    source_id: z.string().nullable(),
    source_topic: z.string().nullable().meta({ description: 'null: what the source names' }),
    target_topic: z.string().nullable(),
    error_table_enabled: z.boolean(),
    error_table_name: z.string().nullable(),
    error_table_target_id: z.string().nullable(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'DataModel' });
export type DataModelView = z.infer<typeof dataModelView>;

export const listDataModels = defineEndpoint({
  id: 'listDataModels',
  method: 'GET',
  path: '/api/datamodels',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'List the data models of the active environment',
  query: pageQuery.extend({ team_id: z.string().max(64).optional() }),
  replies: { 200: pageOf(dataModelView) },
});

export const getDataModel = defineEndpoint({
  id: 'getDataModel',
  method: 'GET',
  path: '/api/datamodels/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get datamodel by ID',
  params: idParams,
  replies: { 200: dataModelView },
  errors: [404],
});

export const updateErrorTable = defineEndpoint({
  id: 'updateErrorTable',
  method: 'PATCH',
  path: '/api/datamodels/{id}/error-table',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Update error table config; used where the subscription has none of its own',
  params: idParams,
  body: z.strictObject({
    error_table_enabled: z.boolean().nullish(),
    error_table_name: z.string().trim().min(1).max(255).nullish(),
    error_table_target_id: z.string().min(1).max(64).nullish(),
  }),
  replies: { 200: dataModelView },
  errors: [400, 403, 404],
});

export const dataModelEndpoints = [listDataModels, getDataModel, updateErrorTable];
