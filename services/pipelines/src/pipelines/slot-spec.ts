/** What a worker needs to run a pipeline's slots. Nothing secret (I6): it fetches the connections itself. */
import { TributaryError } from '@tributary/errors/error';
import type { SlotSpec } from '@tributary/contracts/api/internal';
import type { PipelineDoc, SubscriptionDoc } from '@tributary/store/pipelines';
import { errorTableOf, flowOf } from './flow.ts';

/** @throws BAD_REQUEST while the pipeline lacks what it needs to run. */
export const slotSpecOf = (pipeline: PipelineDoc, subscription: SubscriptionDoc): SlotSpec => {
  const { source, target } = pipeline;
  const table = subscription.target_table_name;
  if (source === null || target === null || table === null)
    throw new TributaryError('BAD_REQUEST', `The pipeline "${pipeline.name}" lacks a source, a target or a target table.`);
  const { dataModel } = flowOf(pipeline);
  return {
    pipeline_id: pipeline._id,
    pipeline_name: pipeline.name,
    env_id: pipeline.env_id,
    version: pipeline.version,
    subscription_id: subscription.id,
    consumer_id: subscription.consumer_id,
    source_connection_id: source.connection_id,
    target_connection_id: target.connection_id,
    stream: dataModel.source_topic,
    target_table: table,
    backfill: subscription.backfill,
    started_at: (subscription.started_at ?? pipeline.updated_at).toISOString(),
    mapper: subscription.mapper_config,
    error_table: errorTableOf({ dataModel, subscription }),
  };
};
