/** Subscriptions: one data model into one target table. A pipeline has one, which it is started and paused with. */
import { z } from 'zod';
import { givenMapperConfig, mapperConfig } from '../mapper.ts';
import { defineEndpoint, idParams, label, pageOf, pageQuery } from './endpoint.ts';
import { shownStates } from './pipelines.ts';

const tag = 'subscriptions';

export const subscriptionView = z
  .object({
    id: z.string(),
    pipeline_id: z.string(),
    pipeline_name: z.string(),
    team_id: z.string(),
    datamodel_id: z.string(),
    target_id: z.string().nullable(),
    state: z.enum(shownStates),
    target_table_name: z.string().nullable(),
    backfill: z.boolean(),
    mapper_config: mapperConfig.nullable(),
    consumer_id: z.string(),
    error_table_enabled: z.boolean(),
    error_table_name: z.string().nullable(),
    error_table_target_id: z.string().nullable(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Subscription' });
export type SubscriptionView = z.infer<typeof subscriptionView>;

export const listSubscriptions = defineEndpoint({
  id: 'listSubscriptions',
  method: 'GET',
  path: '/api/subscriptions',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'List the subscriptions of the active environment',
  query: pageQuery.extend({ state: z.enum(shownStates).optional(), team_id: z.string().max(64).optional() }),
  replies: { 200: pageOf(subscriptionView) },
});

export const getSubscription = defineEndpoint({
  id: 'getSubscription',
  method: 'GET',
  path: '/api/subscriptions/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Get subscription details',
  params: idParams,
  replies: { 200: subscriptionView },
  errors: [404],
});

export const updateSubscription = defineEndpoint({
  id: 'updateSubscription',
  method: 'PATCH',
  path: '/api/subscriptions/{id}',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Update subscription: a new version of its pipeline, which goes on with it when it runs',
  params: idParams,
  body: z.strictObject({
    target_table_name: label.nullish(),
    backfill: z.boolean().nullish(),
    mapper_config: givenMapperConfig.nullish(),
    consumer_id: label.nullish(),
    error_table_enabled: z.boolean().nullish(),
    error_table_name: label.nullish(),
    error_table_target_id: z.string().min(1).max(64).nullish(),
  }),
  replies: { 200: subscriptionView },
  errors: [400, 403, 404],
});

export const startSubscription = defineEndpoint({
  id: 'startSubscription',
  method: 'POST',
  path: '/api/subscriptions/{id}/start',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Start subscription, with its pipeline',
  params: idParams,
  replies: { 202: z.enum(['BUILDING', 'LIVE']) },
  errors: [400, 403, 404],
});

export const pauseSubscription = defineEndpoint({
  id: 'pauseSubscription',
  method: 'POST',
  path: '/api/subscriptions/{id}/pause',
  service: 'pipelines',
  auth: 'user',
  tag,
  summary: 'Pause subscription, with its pipeline',
  params: idParams,
  replies: { 202: z.literal('PAUSED') },
  errors: [400, 403, 404],
});

export const subscriptionEndpoints = [listSubscriptions, getSubscription, updateSubscription, startSubscription, pauseSubscription];
