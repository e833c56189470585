/**
 * Slots: one slice of one subscription of a started pipeline, and who runs it. Owned by the worker service.
 * Every write but the renewal of a lease goes through `writeSlot`, so that `seq` orders them and the reports they store.
 */
import type { Counts } from '@tributary/contracts/ops';
import { Schema, type Connection, type Model } from 'mongoose';
import { aggregateFields, aggregateWrite, type Aggregate, type OutboxEvent } from './outbox.ts';

export type { Model };

/**
 * - `idle`: nobody runs it. Wanted: the reconciler enqueues it.
 * - `queued`: a job for its epoch is on its way to a worker.
 * - `running`: a worker took the lease.
 * - `failed`: will be tried again at `retry_at`.
 * - `waiting`: cannot go on before a user changes something.
 */
export type SlotState = 'idle' | 'queued' | 'running' | 'failed' | 'waiting';

export interface SlotLease {
  /** The worker process. */
  holder: string;
  epoch: number;
  /** By the store's clock. */
  expires_at: Date;
}

export interface SlotDoc extends Aggregate {
  pipeline_id: string;
  env_id: string;
  subscription_id: string;
  slice: number;
  slices: number;
  wanted: boolean;
  version: number;
  generation: number;
  /** `seq` of the newest command of the pipeline that was applied here. */
  command_seq: number;
  /** W3C traceparent of that command. */
  trace: string | null;
  /** The pipeline is deleted: the slot goes for good once nobody holds it. */
  removed: boolean;
  state: SlotState;
  /** Grows with every owner. */
  epoch: number;
  /** The newest epoch that was taken: each is taken once. */
  claimed_epoch: number;
  queued_at: Date | null;
  lease: SlotLease | null;
  /** Failures since it last made progress. */
  attempt: number;
  retry_at: Date | null;
  error: { code: string; message: string; help: string; at: Date } | null;
  /** The owner that last reported it as live, and under which generation. */
  live: { epoch: number; generation: number } | null;
  /** Since when the pipelines service does not know the pipeline. */
  unknown_since: Date | null;
  counts: Counts | null;
  /** As last reported; they outlive a pause. */
  latency: { p50: number; p95: number; p99: number } | null;
  last_event_at: Date | null;
}

export const slotsModel = (connection: Connection): Model<SlotDoc> => {
  const mixed = Schema.Types.Mixed;
  const schema = new Schema<SlotDoc>(
    {
      ...aggregateFields,
      pipeline_id: { type: String, required: true },
      env_id: { type: String, required: true },
      subscription_id: { type: String, required: true },
      slice: { type: Number, required: true },
      slices: { type: Number, required: true },
      wanted: { type: Boolean, required: true },
      version: { type: Number, required: true },
      generation: { type: Number, required: true },
      command_seq: { type: Number, required: true },
      trace: { type: String, default: null },
      removed: { type: Boolean, required: true },
      state: { type: String, required: true },
      epoch: { type: Number, required: true },
      claimed_epoch: { type: Number, required: true },
      queued_at: { type: Date, default: null },
      lease: { type: mixed, default: null },
      attempt: { type: Number, required: true },
      retry_at: { type: Date, default: null },
      error: { type: mixed, default: null },
      live: { type: mixed, default: null },
      unknown_since: { type: Date, default: null },
      counts: { type: mixed, default: null },
      latency: { type: mixed, default: null },
      last_event_at: { type: Date, default: null },
    },
    { collection: 'slots', versionKey: false, minimize: false },
  );
  schema.index({ wanted: 1 });
  schema.index({ pipeline_id: 1 });
  schema.index({ outbox_pending: 1 });
  return connection.model<SlotDoc>('slot', schema);
};

export interface SlotWrite {
  readonly set: Partial<Omit<SlotDoc, '_id' | 'seq' | 'outbox' | 'outbox_pending' | 'outbox_claim'>>;
  readonly events?: readonly OutboxEvent[];
}

/**
 * Changes one slot by what `decide` makes of its present state; `seq` in `decide` is that of the write. Decides again when
 * somebody else wrote meanwhile. Returns the slot as it was decided on, with the changes; null when it is gone or `decide` gave null.
 * `known` saves the first read.
 */
export const writeSlot = async (
  model: Model<SlotDoc>,
  id: string,
  decide: (slot: SlotDoc, seq: number) => SlotWrite | null,
  known?: SlotDoc,
): Promise<SlotDoc | null> => {
  for (let slot = known ?? (await readSlot(model, id)); slot !== null; slot = await readSlot(model, id)) {
    const seq = slot.seq + 1;
    const write = decide(slot, seq);
    if (write === null) return null;
    const { matchedCount } = await model.collection.updateOne(
      { _id: id, seq: slot.seq, deleted: false } as never,
      aggregateWrite(write.set, write.events ?? []),
    );
    if (matchedCount === 1) return { ...slot, ...write.set, seq };
  }
  return null;
};

/** The fields that decisions are made on: not the outbox, which may be long. */
const withoutOutbox = { projection: { outbox: 0 } };

export const readSlot = async (model: Model<SlotDoc>, id: string): Promise<SlotDoc | null> =>
  (await model.collection.findOne({ _id: id, deleted: false } as never, withoutOutbox)) as SlotDoc | null;

export const findSlots = async (model: Model<SlotDoc>, filter: Readonly<Record<string, unknown>>): Promise<SlotDoc[]> =>
  (await model.collection.find({ ...filter, deleted: false } as never, withoutOutbox).toArray()) as unknown as SlotDoc[];
