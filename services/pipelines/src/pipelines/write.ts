/** One atomic write of a pipeline: new state and the event that announces it together, conditional on what was read. */
import { pauseRequested, pipelineDeleted, startRequested } from '@tributary/contracts/events/pipeline-commands';
import { TributaryError } from '@tributary/errors/error';
import { aggregateWrite, outboxEvent, type OutboxEvent } from '@tributary/store/outbox';
import type { PipelineDoc } from '@tributary/store/pipelines';
import type { Stores } from '../stores.ts';

const tries = 50;

export interface Write {
  readonly set: Partial<PipelineDoc> & Readonly<Record<string, unknown>>;
  readonly events?: readonly OutboxEvent[];
}

/** Every event of a pipeline is an order to the workers. */
const announcing = ({ set, events = [] }: Write): Write['set'] => (events.length === 0 ? set : { ...set, announced_at: new Date() });

/** Null when somebody else wrote since `doc` was read. */
export const writeOnce = (stores: Stores, doc: Pick<PipelineDoc, '_id' | 'seq'>, write: Write): Promise<PipelineDoc | null> =>
  stores.pipelines
    .findOneAndUpdate({ _id: doc._id, seq: doc.seq, deleted: false }, aggregateWrite(announcing(write), write.events ?? []), {
      returnDocument: 'after',
      projection: { outbox: 0, outbox_claim: 0 },
    })
    .lean<PipelineDoc>();

/**
 * Reads, decides, writes; again when somebody else wrote in between. `decide` gives null when there is nothing to write.
 * Returns the document as it is afterwards.
 */
export const writePipeline = async (
  stores: Stores,
  read: () => Promise<PipelineDoc>,
  decide: (doc: PipelineDoc) => Write | null | Promise<Write | null>,
): Promise<PipelineDoc> => {
  for (let attempt = 0; attempt < tries; attempt += 1) {
    const doc = await read();
    const write = await decide(doc);
    if (write === null) return doc;
    const written = await writeOnce(stores, doc, write);
    if (written !== null) return written;
  }
  throw new TributaryError('CONFLICT', 'The pipeline is being changed by others all the time; try again.');
};

type About = Pick<PipelineDoc, '_id' | 'env_id' | 'seq'>;

const wanted = (doc: About, generation: number): { pipeline_id: string; env_id: string; generation: number } => ({
  pipeline_id: doc._id,
  env_id: doc.env_id,
  generation,
});

// The write that stores an event makes `seq` one more than what was read.
const at = (doc: About): { aggregateId: string; seq: number } => ({ aggregateId: doc._id, seq: doc.seq + 1 });

type Config = Pick<PipelineDoc, 'generation' | 'version' | 'subscriptions' | 'parallelism'>;

const configured = (doc: About, config: Config) => ({
  ...wanted(doc, config.generation),
  version: config.version,
  subscriptions: config.subscriptions.map((subscription) => ({ subscription_id: subscription.id, slices: config.parallelism })),
});

export const startEvent = (doc: About, config: Config): OutboxEvent => outboxEvent(startRequested, at(doc), configured(doc, config));

export const pauseEvent = (doc: About, config: Config): OutboxEvent => outboxEvent(pauseRequested, at(doc), configured(doc, config));

/**
 * The newest order once more, under its generation, for a pipeline that waits for reports; null: it waits for none, or the order
 * has not even left yet.
 */
export const repeatedOrder = (doc: PipelineDoc): Write | null => {
  if (doc.outbox_pending) return null;
  if (doc.state === 'building') return { set: {}, events: [startEvent(doc, doc)] };
  if (doc.state === 'stopping') return { set: {}, events: [pauseEvent(doc, doc)] };
  return null;
};

export const deletedEvent = (doc: About, generation: number): OutboxEvent => outboxEvent(pipelineDeleted, at(doc), wanted(doc, generation));
