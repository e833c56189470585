/** Turns the commands of the pipelines service into wanted slots. Each is applied once, in order, however often it arrives. */
import { slotId, type Slot } from '@tributary/contracts/ops';
import { pauseRequested, pauseRequestedV1, pipelineDeleted, startRequested } from '@tributary/contracts/events/pipeline-commands';
import { on, type Handler } from '@tributary/bus/consume';
import { currentTrace } from '@tributary/runtime/trace';
import { isDuplicateKey } from '@tributary/store/duplicate';
import { keepOrder, type PipelineOrderDoc } from '@tributary/store/pipeline-orders';
import { findSlots, writeSlot, type Model, type SlotDoc } from '@tributary/store/slots';
import { nobodyRuns, presentState } from './slot-reports.ts';

export interface CommandStores {
  readonly orders: Model<PipelineOrderDoc>;
  readonly slots: Model<SlotDoc>;
}

/** The slots that an order to start or to pause is about. What an old order to pause does not name is empty. */
const orderedSlots = (order: PipelineOrderDoc): Slot[] =>
  order.order === 'delete'
    ? []
    : (order.subscriptions ?? []).flatMap(({ subscription_id, slices }) =>
        Array.from({ length: slices }, (_, slice) => ({ pipelineId: order._id, subscriptionId: subscription_id, slice, slices })),
      );

const newSlot = (slot: Slot, order: PipelineOrderDoc): SlotDoc => ({
  _id: slotId(slot),
  seq: order.floor ?? 0,
  outbox: [],
  outbox_pending: false,
  outbox_claim: null,
  deleted: false,
  pipeline_id: slot.pipelineId,
  env_id: order.env_id,
  subscription_id: slot.subscriptionId,
  slice: slot.slice,
  slices: slot.slices,
  wanted: order.order === 'start',
  version: order.version,
  generation: order.generation,
  command_seq: order.seq,
  trace: currentTrace(),
  removed: false,
  state: 'idle',
  epoch: order.floor ?? 0,
  claimed_epoch: order.floor ?? 0,
  queued_at: null,
  lease: null,
  attempt: 0,
  retry_at: null,
  error: null,
  live: null,
  unknown_since: null,
  counts: null,
  latency: null,
  last_event_at: null,
});

/** Makes the pipeline's slots follow its newest order. Repeating it, after a crash or beside another worker, changes nothing more. */
export const followOrder = async (slots: Model<SlotDoc>, order: PipelineOrderDoc): Promise<void> => {
  const ordered = new Map(orderedSlots(order).map((slot) => [slotId(slot), slot]));
  const isWanted = (id: string): boolean => order.order === 'start' && ordered.has(id);
  const present = new Set((await findSlots(slots, { pipeline_id: order._id })).map(({ _id }) => _id));
  for (const [id, slot] of ordered) {
    if (present.has(id)) continue;
    const fresh = newSlot(slot, order);
    // Nobody ever heard of its start, but somebody waits to hear that it stopped.
    const outbox = fresh.wanted ? [] : presentState(fresh, fresh.seq);
    try {
      await slots.collection.insertOne({ ...fresh, outbox, outbox_pending: outbox.length > 0 } as never);
    } catch (error) {
      if (!isDuplicateKey(error)) throw error;
      present.add(id);
    }
  }
  for (const id of present) {
    await writeSlot(slots, id, (slot, seq) => {
      if (slot.command_seq >= order.seq) return null;
      // Announced again: it goes on as it is, and says how it is.
      if (slot.generation === order.generation && slot.wanted === isWanted(id))
        return { set: { command_seq: order.seq }, events: ordered.has(id) ? presentState(slot, seq) : [] };
      const common = {
        generation: order.generation,
        command_seq: order.seq,
        trace: currentTrace(),
        attempt: 0,
        retry_at: null,
        error: null,
        unknown_since: null,
      };
      if (isWanted(id)) {
        // A running slot goes on until its worker sees the new generation; a queued one starts under it.
        const state = slot.lease === null && slot.state !== 'queued' ? 'idle' : slot.state;
        return { set: { ...common, wanted: true, version: order.version, state } };
      }
      const unwanted = { ...slot, ...common, wanted: false, removed: order.order === 'delete' };
      const set = { ...common, wanted: false, removed: unwanted.removed };
      if (slot.lease !== null) return { set };
      // Of another layout, stopped long ago: nobody waits for it.
      if (order.order === 'start' && !slot.wanted) return { set };
      const last = nobodyRuns(unwanted, seq);
      return { set: { ...set, ...last.set }, events: last.events ?? [] };
    });
  }
};

export const commandHandlers = (stores: CommandStores, onChange: (pipelineId: string) => void): Handler[] => {
  const apply = async (pipelineId: string, seq: number, fields: Parameters<typeof keepOrder>[3]): Promise<void> => {
    await followOrder(stores.slots, await keepOrder(stores.orders, pipelineId, seq, fields));
    onChange(pipelineId);
  };
  return [
    on(startRequested, ({ seq }, data) =>
      apply(data.pipeline_id, seq, {
        env_id: data.env_id,
        order: 'start',
        generation: data.generation,
        at: new Date(),
        version: data.version,
        subscriptions: data.subscriptions,
      }),
    ),
    on(pauseRequested, ({ seq }, data) =>
      apply(data.pipeline_id, seq, {
        env_id: data.env_id,
        order: 'pause',
        generation: data.generation,
        at: new Date(),
        version: data.version,
        subscriptions: data.subscriptions,
      }),
    ),
    on(pauseRequestedV1, ({ seq }, data) => apply(data.pipeline_id, seq, { env_id: data.env_id, order: 'pause', generation: data.generation, at: new Date() })),
    on(pipelineDeleted, ({ seq }, data) => apply(data.pipeline_id, seq, { env_id: data.env_id, order: 'delete', generation: data.generation, at: new Date() })),
  ];
};
