/** What is written to a slot, with the report that goes with it. */
import type { Counts } from '@tributary/contracts/ops';
import { slotFailed, slotLive, slotProgress, slotStopped } from '@tributary/contracts/events/slot-reports';
import { noCounts } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { backoffMs } from '@tributary/runtime/retry';
import { outboxEvent, type OutboxEvent } from '@tributary/store/outbox';
import type { SlotDoc, SlotWrite } from '@tributary/store/slots';

/** Keyed by the pipeline, so that its reports stay in order. */
const aggregate = (slot: SlotDoc, seq: number) => ({ aggregateId: slot._id, seq, key: slot.pipeline_id });

const about = (slot: SlotDoc, generation: number) => ({
  pipeline_id: slot.pipeline_id,
  subscription_id: slot.subscription_id,
  slot_id: slot._id,
  slice: slot.slice,
  slices: slot.slices,
  generation,
  epoch: slot.epoch,
});

/** Nobody runs the slot any more. One that is not wanted says so; one of a deleted pipeline goes for good. */
export const nobodyRuns = (slot: SlotDoc, seq: number, counts: Counts | null = slot.counts): SlotWrite => ({
  set: { lease: null, state: 'idle', queued_at: null, counts, ...(slot.removed ? { deleted: true } : {}) },
  events: slot.wanted ? [] : [outboxEvent(slotStopped, aggregate(slot, seq), { ...about(slot, slot.generation), counts: counts ?? noCounts })],
});

/** Null when a newer command has been given meanwhile: it is of no interest then. */
export const live = (slot: SlotDoc, seq: number, generation: number): SlotWrite | null =>
  slot.generation === generation
    ? {
        set: { error: null, unknown_since: null, live: { epoch: slot.epoch, generation } },
        events: [outboxEvent(slotLive, aggregate(slot, seq), about(slot, generation))],
      }
    : null;

export interface Progress {
  readonly counts: Counts;
  readonly lag: number | null;
  readonly latency: { readonly p50: number; readonly p95: number; readonly p99: number } | null;
  readonly lastEventAt: Date | null;
  readonly attempt: number;
}

/** Null while the last report is still on its way: the next one says all that this one would. */
export const progress = (slot: SlotDoc, seq: number, generation: number, what: Progress): SlotWrite | null =>
  slot.outbox_pending
    ? null
    : {
        set: { counts: what.counts, latency: what.latency, last_event_at: what.lastEventAt, attempt: what.attempt },
        events: [
          outboxEvent(slotProgress, aggregate(slot, seq), {
            ...about(slot, generation),
            counts: what.counts,
            lag: what.lag,
            latency: what.latency,
            last_event_at: what.lastEventAt?.toISOString() ?? null,
          }),
        ],
      };

/** The pipelines service answered, and has no such pipeline: deleted without a word to us, or another installation's. */
export const unknownPipeline = (message: string, cause?: unknown): TributaryError =>
  new TributaryError('NOT_FOUND', message, { details: { unknown: 'pipeline' }, cause });
const isUnknownPipeline = (error: TributaryError): boolean => error.details['unknown'] === 'pipeline';

const retryDelay = { firstMs: 1000, maxMs: 10_000 };
/** What looks like our own mistake is tried so often before it waits for somebody. */
const mostUnexplainedFailures = 10;
const mostUnknownAnswers = 5;

/** When to try again; null: not before a user changed something. */
export const retryAfterMs = (error: TributaryError, attempt: number): number | null => {
  if (error.kind === 'config') return null;
  if (isUnknownPipeline(error) && attempt + 1 >= mostUnknownAnswers) return null;
  if (error.kind !== 'transient' && error.kind !== 'input' && attempt >= mostUnexplainedFailures) return null;
  return backoffMs(retryDelay, attempt);
};

/** The slot ended with an error under `generation`. A command that came meanwhile is what counts then. */
export const failed = (
  slot: SlotDoc,
  seq: number,
  failure: { readonly generation: number; readonly error: TributaryError; readonly counts: Counts | null; readonly attempt: number; readonly now: Date },
): SlotWrite => {
  const { generation, error, counts, attempt, now } = failure;
  if (!slot.wanted || slot.generation !== generation) return nobodyRuns(slot, seq, counts ?? slot.counts);
  const waitMs = retryAfterMs(error, attempt);
  const retryAt = waitMs === null ? null : new Date(now.getTime() + waitMs);
  const told = { code: error.code, message: error.message, help: error.help };
  return {
    set: {
      lease: null,
      state: waitMs === null ? 'waiting' : 'failed',
      attempt: attempt + 1,
      retry_at: retryAt,
      error: { ...told, at: now },
      unknown_since: isUnknownPipeline(error) ? (slot.unknown_since ?? now) : null,
      counts: counts ?? slot.counts,
    },
    events: [outboxEvent(slotFailed, aggregate(slot, seq), { ...about(slot, generation), ...told, retry_at: retryAt?.toISOString() ?? null })],
  };
};

/** The present state in reports, for an order that was announced again: some of the earlier ones may be lost. Empty while there is nothing to say yet. */
export const presentState = (slot: SlotDoc, seq: number): OutboxEvent[] => {
  if (!slot.wanted) {
    return slot.lease === null ? [outboxEvent(slotStopped, aggregate(slot, seq), { ...about(slot, slot.generation), counts: slot.counts ?? noCounts })] : [];
  }
  const told = about(slot, slot.generation);
  if (slot.error !== null) {
    const { code, message, help } = slot.error;
    return [outboxEvent(slotFailed, aggregate(slot, seq), { ...told, code, message, help, retry_at: slot.retry_at?.toISOString() ?? null })];
  }
  const isLive = slot.lease !== null && slot.live?.epoch === slot.epoch && slot.live.generation === slot.generation;
  return isLive ? [outboxEvent(slotLive, aggregate(slot, seq), told)] : [];
};
