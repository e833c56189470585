/**
 * The outbox inside a document: a state change and the event that announces it are one atomic write.
 * One relay per document at a time publishes from there, in order; a deleted record stays as a tombstone until its last event is out.
 */
import { randomUUID } from 'node:crypto';
import { currentTrace } from '@tributary/runtime/trace';
import type { EventDefinition } from '@tributary/contracts/events/envelope';
import { Schema, type Model } from 'mongoose';
import type { z } from 'zod';

export interface OutboxEvent {
  readonly id: string;
  readonly name: string;
  readonly topic: string;
  /** Kafka key: events of one key stay in order. */
  readonly key: string;
  readonly aggregate_id: string;
  readonly seq: number;
  readonly at: string;
  readonly trace: string | null;
  readonly data: unknown;
}

/** What a document with an outbox holds beside its own fields. */
export interface Aggregate {
  _id: string;
  /** Grows by one with every write; every write is conditional on it. */
  seq: number;
  outbox: OutboxEvent[];
  outbox_pending: boolean;
  outbox_claim: { by: string; until: Date } | null;
  /** A tombstone: no longer there for anyone but the relay. */
  deleted: boolean;
}

export const aggregateFields = {
  _id: { type: String, required: true },
  seq: { type: Number, required: true, default: 0 },
  outbox: { type: Schema.Types.Mixed, default: (): OutboxEvent[] => [] },
  outbox_pending: { type: Boolean, default: false },
  outbox_claim: { type: Schema.Types.Mixed, default: null },
  deleted: { type: Boolean, default: false },
};

/** The event to store with the write that makes the aggregate's `seq` this value. Its data is checked here, before it can be stored. */
export const outboxEvent = <Name extends string, Data extends z.ZodType>(
  definition: EventDefinition<Name, Data>,
  about: { readonly aggregateId: string; readonly seq: number; readonly key?: string },
  data: z.input<Data>,
): OutboxEvent => ({
  id: randomUUID(),
  name: definition.name,
  topic: definition.topic,
  key: about.key ?? about.aggregateId,
  aggregate_id: about.aggregateId,
  seq: about.seq,
  at: new Date().toISOString(),
  trace: currentTrace(),
  data: definition.data.parse(data),
});

/**
 * The update of one write: fields to set and events to announce.
 * Use with a filter on the `seq` that was read: `{_id, seq, deleted: false}`; no match means that somebody else wrote meanwhile.
 */
export const aggregateWrite = (set: Readonly<Record<string, unknown>>, events: readonly OutboxEvent[]): Record<string, unknown> => ({
  $set: { ...set, ...(events.length === 0 ? {} : { outbox_pending: true }) },
  $inc: { seq: 1 },
  ...(events.length === 0 ? {} : { $push: { outbox: { $each: events } } }),
});

const claimMs = 15_000;

/**
 * Relays the outboxes of up to `limit` documents. `publish` settles once the events are durable on Kafka.
 * A crash in between publishes again under the same ids; a relay that lost its claim meanwhile repeats older events behind
 * newer ones, which consumers drop by `seq`. Returns how many documents it took.
 */
export const relayOutboxes = async <Doc extends Aggregate>(
  model: Pick<Model<Doc>, 'collection'>,
  options: { readonly owner: string; readonly limit: number },
  publish: (events: readonly OutboxEvent[]) => Promise<void>,
): Promise<number> => {
  const { collection } = model;
  // An own claim is what a failed publish left behind: an owner relays one document after the other.
  const free = { outbox_pending: true, $or: [{ outbox_claim: null }, { 'outbox_claim.by': options.owner }, { 'outbox_claim.until': { $lt: new Date() } }] };
  const candidates = await collection
    .find(free, { projection: { _id: 1 } })
    .limit(options.limit)
    .toArray();
  let taken = 0;
  for (const { _id } of candidates) {
    const claimed = await collection.findOneAndUpdate(
      { _id, ...free },
      { $set: { outbox_claim: { by: options.owner, until: new Date(Date.now() + claimMs) } } },
      { returnDocument: 'after', projection: { outbox: 1 } },
    );
    if (claimed === null) continue;
    taken += 1;
    const events = (claimed['outbox'] ?? []) as OutboxEvent[];
    if (events.length > 0) await publish(events);
    await clear(model, _id, options.owner, events);
  }
  return taken;
};

/** Takes what was published out of the outbox; a tombstone goes with its last event. */
const clear = async <Doc extends Aggregate>(
  model: Pick<Model<Doc>, 'collection'>,
  _id: unknown,
  owner: string,
  events: readonly OutboxEvent[],
): Promise<void> => {
  const { collection } = model;
  const mine = { _id, 'outbox_claim.by': owner };
  // While this claim stands nobody takes events out, so an outbox of the same length is the same outbox.
  const unchanged = { ...mine, outbox: { $size: events.length } };
  const { matchedCount } = await collection.updateOne({ ...unchanged, deleted: false } as never, {
    $set: { outbox: [], outbox_pending: false, outbox_claim: null },
  });
  if (matchedCount === 1) return;
  const { deletedCount } = await collection.deleteOne({ ...unchanged, deleted: true } as never);
  if (deletedCount === 1) return;
  await collection.updateOne(mine as never, { $pull: { outbox: { id: { $in: events.map((event) => event.id) } } }, $set: { outbox_claim: null } } as never);
};
