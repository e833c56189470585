/** Pipelines as the API answers them. */
import type { ConnectionView } from '@tributary/contracts/api/internal';
import type { DataModelView } from '@tributary/contracts/api/datamodels';
import type { pipelineConfiguration, pipelineStatus, PipelineView } from '@tributary/contracts/api/pipelines';
import type { SubscriptionView } from '@tributary/contracts/api/subscriptions';
import { shownState } from '@tributary/contracts/pipeline-state';
import type { PipelineDoc, SideDoc } from '@tributary/store/pipelines';
import type { z } from 'zod';
import { errorTableOf, flowOf } from './flow.ts';

type Connections = ReadonlyMap<string, ConnectionView>;

const existingId = (side: SideDoc | null): string | null => (side === null || side.owned ? null : side.connection_id);
const connectionOf = (side: SideDoc | null, connections: Connections): ConnectionView | null =>
  side === null ? null : (connections.get(side.connection_id) ?? null);

const flowFields = (pipeline: PipelineDoc) => {
  const { dataModel, subscription } = flowOf(pipeline);
  return {
    parallelism: pipeline.parallelism,
    datamodel_source_topic: dataModel.source_topic,
    datamodel_target_topic: dataModel.target_topic,
    datamodel_error_table_enabled: dataModel.error_table_enabled,
    datamodel_error_table_name: dataModel.error_table_name,
    datamodel_error_table_target_id: dataModel.error_table_target_id,
    subscription_target_table_name: subscription.target_table_name,
    subscription_backfill: subscription.backfill,
    subscription_mapper_config: subscription.mapper_config,
    subscription_consumer_id: subscription.consumer_id,
    subscription_error_table_enabled: subscription.error_table_enabled,
    subscription_error_table_name: subscription.error_table_name,
    subscription_error_table_target_id: subscription.error_table_target_id,
  };
};

/** Connections of other environments are not in `connections` (I7) and secrets not in their config (I6). */
export const pipelineView = (pipeline: PipelineDoc, connections: Connections, teamName: string): PipelineView => {
  const source = connectionOf(pipeline.source, connections);
  const target = connectionOf(pipeline.target, connections);
  const flow = flowOf(pipeline);
  return {
    id: pipeline._id,
    name: pipeline.name,
    state: shownState(pipeline.state),
    version: pipeline.version,
    team_id: pipeline.team_id,
    team_name: teamName,
    existing_source_id: existingId(pipeline.source),
    source_name: source?.name ?? null,
    source_type: source?.type ?? null,
    source_config: source?.config ?? null,
    existing_target_id: existingId(pipeline.target),
    target_name: target?.name ?? null,
    target_type: target?.type ?? null,
    target_config: target?.config ?? null,
    ...flowFields(pipeline),
    subscription_error_table_name: flow.subscription.error_table_enabled ? errorTableOf(flow) : flow.subscription.error_table_name,
    datamodel_id: flow.dataModel.id,
    subscription_id: flow.subscription.id,
    error: pipeline.state === 'error' ? pipeline.error : null,
    created_at: pipeline.created_at.toISOString(),
    updated_at: pipeline.updated_at.toISOString(),
  };
};

/** What importing takes: an existing connection by its id, or the whole of one that the pipeline made. */
export const configurationView = (pipeline: PipelineDoc, connections: Connections): z.infer<typeof pipelineConfiguration> => {
  const source = pipeline.source?.owned === true ? connectionOf(pipeline.source, connections) : null;
  const target = pipeline.target?.owned === true ? connectionOf(pipeline.target, connections) : null;
  return {
    name: pipeline.name,
    existing_source_id: existingId(pipeline.source),
    source_name: source?.name ?? null,
    source_type: source?.type ?? null,
    source_config: source?.config ?? null,
    existing_target_id: existingId(pipeline.target),
    target_name: target?.name ?? null,
    target_type: target?.type ?? null,
    target_config: target?.config ?? null,
    ...flowFields(pipeline),
  };
};

export const statusView = (pipeline: PipelineDoc): z.infer<typeof pipelineStatus> => ({
  id: pipeline._id,
  name: pipeline.name,
  team_id: pipeline.team_id,
  state: shownState(pipeline.state),
  version: pipeline.version,
  error: pipeline.state === 'error' ? pipeline.error : null,
  updated_at: pipeline.updated_at.toISOString(),
});

export const subscriptionView = (pipeline: PipelineDoc): SubscriptionView => {
  const flow = flowOf(pipeline);
  const { id, data_model_id, ...subscription } = flow.subscription;
  return {
    id,
    pipeline_id: pipeline._id,
    pipeline_name: pipeline.name,
    team_id: pipeline.team_id,
    datamodel_id: data_model_id,
    target_id: pipeline.target?.connection_id ?? null,
    state: shownState(pipeline.state),
    ...subscription,
    error_table_name: subscription.error_table_enabled ? errorTableOf(flow) : subscription.error_table_name,
    created_at: pipeline.created_at.toISOString(),
    updated_at: pipeline.updated_at.toISOString(),
  };
};

export const dataModelView = (pipeline: PipelineDoc): DataModelView => ({
  ...flowOf(pipeline).dataModel,
  pipeline_id: pipeline._id,
  pipeline_name: pipeline.name,
  team_id: pipeline.team_id,
  source_id: pipeline.source?.connection_id ?? null,
  created_at: pipeline.created_at.toISOString(),
  updated_at: pipeline.updated_at.toISOString(),
});
