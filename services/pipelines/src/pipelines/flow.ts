/** The data model and the subscription of a flat pipeline: one of each. */
import { randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import type { PipelineChange } from '@tributary/contracts/api/pipelines';
import type { DataModelDoc, PipelineDoc, SubscriptionDoc } from '@tributary/store/pipelines';

export interface Flow {
  readonly dataModel: DataModelDoc;
  readonly subscription: SubscriptionDoc;
}

export const newFlow = (): Flow => {
  const dataModelId = randomUUID();
  const id = randomUUID();
  return {
    dataModel: { id: dataModelId, source_topic: null, target_topic: null, error_table_enabled: false, error_table_name: null, error_table_target_id: null },
    subscription: {
      id,
      data_model_id: dataModelId,
      target_table_name: null,
      backfill: false,
      mapper_config: null,
      started_at: null,
      consumer_id: `tributary-${id}`,
      error_table_enabled: true,
      error_table_name: null,
      error_table_target_id: null,
    },
  };
};

export const flowOf = (pipeline: Pick<PipelineDoc, '_id' | 'data_models' | 'subscriptions'>): Flow => {
  const [dataModel] = pipeline.data_models;
  const [subscription] = pipeline.subscriptions;
  if (dataModel === undefined || subscription === undefined) throw new TributaryError('INTERNAL', `The pipeline ${pipeline._id} has no subscription.`);
  return { dataModel, subscription };
};

/** A subscription to other data: its checkpoints and counts begin anew. */
export const renewedFlow = (flow: Flow): Flow => {
  const { dataModel, subscription } = newFlow();
  const hadOwnConsumer = subscriptionConsumer(flow.subscription.id) !== flow.subscription.consumer_id;
  return {
    dataModel: { ...flow.dataModel, id: dataModel.id },
    subscription: {
      ...flow.subscription,
      id: subscription.id,
      started_at: null,
      data_model_id: dataModel.id,
      consumer_id: hadOwnConsumer ? flow.subscription.consumer_id : subscription.consumer_id,
    },
  };
};

const subscriptionConsumer = (id: string): string => `tributary-${id}`;

/** Given and not null: replaces; null: back to the default; left out: stays. */
const pick = <T>(given: T | null | undefined, current: T, fallback: T): T => (given === undefined ? current : (given ?? fallback));

/** The flow with the request's `datamodel_…` and `subscription_…` fields in it. */
export const changedFlow = (flow: Flow, given: PipelineChange): Flow => {
  const { dataModel, subscription } = flow;
  return {
    dataModel: {
      ...dataModel,
      source_topic: pick(given.datamodel_source_topic, dataModel.source_topic, null),
      target_topic: pick(given.datamodel_target_topic, dataModel.target_topic, null),
      error_table_enabled: pick(given.datamodel_error_table_enabled, dataModel.error_table_enabled, false),
      error_table_name: pick(given.datamodel_error_table_name, dataModel.error_table_name, null),
      error_table_target_id: pick(given.datamodel_error_table_target_id, dataModel.error_table_target_id, null),
    },
    subscription: {
      ...subscription,
      target_table_name: pick(given.subscription_target_table_name, subscription.target_table_name, null),
      backfill: pick(given.subscription_backfill, subscription.backfill, false),
      mapper_config: pick(given.subscription_mapper_config, subscription.mapper_config, null),
      consumer_id: pick(given.subscription_consumer_id, subscription.consumer_id, subscriptionConsumer(subscription.id)),
      error_table_enabled: pick(given.subscription_error_table_enabled, subscription.error_table_enabled, true),
      error_table_name: pick(given.subscription_error_table_name, subscription.error_table_name, null),
      error_table_target_id: pick(given.subscription_error_table_target_id, subscription.error_table_target_id, null),
    },
  };
};

/**
 * Rejected rows land beside the table, in the transaction that commits their batch: another target cannot take part in it.
 * @throws VALIDATION_FAILED
 */
export const checkErrorTarget = (flow: Flow, targetId: string | null): void => {
  const given = {
    datamodel_error_table_target_id: flow.dataModel.error_table_target_id,
    subscription_error_table_target_id: flow.subscription.error_table_target_id,
  };
  const wrong = Object.entries(given).filter(([, id]) => id !== null && id !== targetId);
  if (wrong.length === 0) return;
  const fields = wrong.map(([field]) => ({
    loc: ['body', field],
    msg: "must be the pipeline's own target, or left out: error rows are committed together with the rows of their batch",
    type: 'value_error',
  }));
  throw new TributaryError('VALIDATION_FAILED', 'The error table is not valid.', { details: { fields } });
};

/** Where rejected rows go; null: nowhere, so the first one ends the slot. */
export const errorTableOf = ({ dataModel, subscription }: Flow): string | null => {
  const standard = subscription.target_table_name === null ? null : `${subscription.target_table_name}_errors`;
  if (subscription.error_table_enabled) return subscription.error_table_name ?? standard;
  return dataModel.error_table_enabled ? (dataModel.error_table_name ?? standard) : null;
};

/** What is missing before it can start, as words. */
export const missingToStart = (pipeline: Pick<PipelineDoc, '_id' | 'source' | 'target' | 'data_models' | 'subscriptions'>): string[] => [
  ...(pipeline.source === null ? ['a source (existing_source_id, or source_name, source_type and source_config)'] : []),
  ...(pipeline.target === null ? ['a target (existing_target_id, or target_name, target_type and target_config)'] : []),
  ...(flowOf(pipeline).subscription.target_table_name === null ? ['subscription_target_table_name'] : []),
];
