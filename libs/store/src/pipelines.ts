/** Pipelines with their data models, subscriptions and what their slots last reported. Owned by the pipelines service. */
import type { MapperConfig } from '@tributary/contracts/mapper';
import type { Counts } from '@tributary/contracts/ops';
import type { PipelineState } from '@tributary/contracts/pipeline-state';
import { Schema, type Connection, type Model } from 'mongoose';
import { aggregateFields, type Aggregate } from './outbox.ts';

export interface SideDoc {
  connection_id: string;
  /** Made by this pipeline, so deleted with it. */
  owned: boolean;
}

export interface DataModelDoc {
  id: string;
  source_topic: string | null;
  target_topic: string | null;
  error_table_enabled: boolean;
  error_table_name: string | null;
  error_table_target_id: string | null;
}

export interface SubscriptionDoc {
  id: string;
  data_model_id: string;
  target_table_name: string | null;
  backfill: boolean;
  mapper_config: MapperConfig | null;
  /** When it was first started; null before. */
  started_at: Date | null;
  consumer_id: string;
  error_table_enabled: boolean;
  /** null: the target table with `_errors`. */
  error_table_name: string | null;
  error_table_target_id: string | null;
}

export interface PipelineErrorDoc {
  code: string;
  message: string;
  help: string;
  retry_at: string | null;
}

export interface SlotDoc {
  subscription_id: string;
  slice: number;
  slices: number;
  /** Of the last report that was applied; older ones are dropped. */
  seq: number;
  /** Of the last report of its state. */
  generation: number;
  state: 'waiting' | 'live' | 'failed' | 'stopped';
  counts: Counts;
  lag: number | null;
  latency: { p50: number; p95: number; p99: number } | null;
  last_event_at: string | null;
  error: PipelineErrorDoc | null;
}

export interface PipelineDoc extends Aggregate {
  env_id: string;
  team_id: string;
  /** Unique in the team; a tombstone has its id instead, so that the name is free again. */
  name: string;
  state: PipelineState;
  /** Grows with every change of the configuration. */
  version: number;
  /** Grows with every start, restart, pause and delete. */
  generation: number;
  parallelism: number;
  source: SideDoc | null;
  target: SideDoc | null;
  data_models: DataModelDoc[];
  subscriptions: SubscriptionDoc[];
  /** By slot id. */
  slots: Record<string, SlotDoc>;
  error: PipelineErrorDoc | null;
  /** When its newest order was last announced to the workers. */
  announced_at: Date | null;
  created_by: string;
  created_at: Date;
  updated_at: Date;
}

export const pipelinesModel = (connection: Connection): Model<PipelineDoc> => {
  const schema = new Schema<PipelineDoc>(
    {
      ...aggregateFields,
      env_id: { type: String, required: true },
      team_id: { type: String, required: true },
      name: { type: String, required: true },
      state: { type: String, required: true },
      version: { type: Number, required: true },
      generation: { type: Number, required: true },
      parallelism: { type: Number, required: true },
      source: { type: Schema.Types.Mixed, default: null },
      target: { type: Schema.Types.Mixed, default: null },
      data_models: { type: Schema.Types.Mixed, default: [] },
      subscriptions: { type: Schema.Types.Mixed, default: [] },
      slots: { type: Schema.Types.Mixed, default: {} },
      error: { type: Schema.Types.Mixed, default: null },
      announced_at: { type: Date, default: null },
      created_by: { type: String, required: true },
      created_at: { type: Date, required: true },
      updated_at: { type: Date, required: true },
    },
    { collection: 'pipelines', versionKey: false, minimize: false },
  );
  schema.index({ team_id: 1, name: 1 }, { unique: true });
  schema.index({ env_id: 1, deleted: 1, created_at: -1 });
  schema.index({ env_id: 1, 'source.connection_id': 1 });
  schema.index({ env_id: 1, 'target.connection_id': 1 });
  schema.index({ state: 1, announced_at: 1 });
  schema.index({ 'subscriptions.id': 1 });
  schema.index({ 'data_models.id': 1 });
  schema.index({ outbox_pending: 1 }, { partialFilterExpression: { outbox_pending: true } });
  return connection.model<PipelineDoc>('pipeline', schema);
};
