/** The slots of a pipeline: which it wants, and what is known of them together. */
import { addCounts, balances, noCounts, slotId, type Counts } from '@tributary/contracts/ops';
import type { PipelineDoc, SlotDoc } from '@tributary/store/pipelines';

type Running = Pick<PipelineDoc, '_id' | 'subscriptions' | 'parallelism' | 'slots'>;

export const emptySlot = (about: Pick<SlotDoc, 'subscription_id' | 'slice' | 'slices'>): SlotDoc => ({
  ...about,
  seq: -1,
  generation: 0,
  state: 'waiting',
  counts: noCounts,
  lag: null,
  latency: null,
  last_event_at: null,
  error: null,
});

/** Every slot the pipeline wants, as last reported. */
export const wantedSlots = (pipeline: Running): SlotDoc[] =>
  pipeline.subscriptions.flatMap((subscription) =>
    Array.from({ length: pipeline.parallelism }, (_, slice) => {
      const about = { subscription_id: subscription.id, slice, slices: pipeline.parallelism };
      return pipeline.slots[slotId({ pipelineId: pipeline._id, subscriptionId: subscription.id, slice, slices: pipeline.parallelism })] ?? emptySlot(about);
    }),
  );

/** Every slot a subscription ever had: those of an earlier `parallelism` keep what they counted. */
export const slotsOf = (pipeline: Running, subscriptionId: string): SlotDoc[] =>
  Object.values(pipeline.slots).filter((slot) => slot.subscription_id === subscriptionId);

export const totalOf = (slots: readonly SlotDoc[]): { counts: Counts; balanced: boolean } => ({
  counts: slots.reduce<Counts>((sum, slot) => addCounts(sum, slot.counts), noCounts),
  // I3: it holds for every slot, not only for their sum.
  balanced: slots.every((slot) => balances(slot.counts)),
});

export interface Latency {
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly lag: number | null;
  readonly last_event_at: string | null;
}

const largest = (values: readonly (number | null | undefined)[]): number | null => {
  const known = values.filter((value) => value != null);
  return known.length === 0 ? null : Math.max(...known);
};

/** Of several slots: the slowest one's latency, the sum of their lags, the newest event. */
export const latencyOf = (slots: readonly SlotDoc[]): Latency => {
  const lags = slots.map((slot) => slot.lag).filter((lag) => lag !== null);
  const times = slots
    .map((slot) => slot.last_event_at)
    .filter((time) => time !== null)
    .toSorted();
  return {
    p50: largest(slots.map((slot) => slot.latency?.p50)),
    p95: largest(slots.map((slot) => slot.latency?.p95)),
    p99: largest(slots.map((slot) => slot.latency?.p99)),
    lag: lags.length === 0 ? null : lags.reduce((sum, lag) => sum + lag, 0),
    last_event_at: times.at(-1) ?? null,
  };
};
