/** What workers report. Aggregate: the slot; keyed by the pipeline, so that one pipeline's reports stay in order. */
import { z } from 'zod';
import { defineEvent } from './envelope.ts';

export const slotReportsTopic = 'slot-reports';

export const countsSchema = z.object({
  read: z.number(),
  mapped: z.number(),
  filtered: z.number(),
  rejected: z.number(),
  emitted: z.number(),
  written: z.number(),
  refused: z.number(),
  bytes: z.number(),
});

const about = z.object({
  pipeline_id: z.string(),
  subscription_id: z.string(),
  slot_id: z.string(),
  slice: z.number().int(),
  slices: z.number().int(),
  generation: z.number().int(),
  epoch: z.number().int(),
});

/** The slot has claimed its target and reads. Sent again when it works after a failure. */
export const slotLive = defineEvent({ name: 'slot.live.v1', topic: slotReportsTopic, data: about });

/** The slot has committed what it had and released its lease, as asked. */
export const slotStopped = defineEvent({ name: 'slot.stopped.v1', topic: slotReportsTopic, data: about.extend({ counts: countsSchema }) });

/** The slot met an error. `retry_at` null: it waits for a change by a user. */
export const slotFailed = defineEvent({
  name: 'slot.failed.v1',
  topic: slotReportsTopic,
  data: about.extend({ code: z.string(), message: z.string(), help: z.string(), retry_at: z.iso.datetime().nullable() }),
});

/** Totals while it runs; sent when they changed, at most once a second. */
export const slotProgress = defineEvent({
  name: 'slot.progress.v1',
  topic: slotReportsTopic,
  data: about.extend({
    counts: countsSchema,
    /** Records the source holds beyond the checkpoint; null where it cannot say. */
    lag: z.number().nullable(),
    /** Milliseconds from the source's time stamp to durable in the target, of the last second's batches. */
    latency: z.object({ p50: z.number(), p95: z.number(), p99: z.number() }).nullable(),
    last_event_at: z.iso.datetime().nullable(),
  }),
});

export const slotReports = [slotLive, slotStopped, slotFailed, slotProgress] as const;
