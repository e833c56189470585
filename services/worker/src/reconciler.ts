/** Compares wanted slots with valid leases, and enqueues what is missing. One worker does it at a time; doing it twice would only cost an epoch. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunSlotJob } from '@tributary/contracts/jobs';
import type { JobQueue } from '@tributary/jobs/queue';
import { heartbeat, type Health } from '@tributary/runtime/health';
import type { Logger } from '@tributary/runtime/logger';
import { messageOf } from '@tributary/errors/error';
import type { StoreClock } from '@tributary/store/clock';
import type { PipelineOrderDoc } from '@tributary/store/pipeline-orders';
import { findSlots, writeSlot, type Model, type SlotDoc } from '@tributary/store/slots';
import { holdRole, leaveRole, type RoleDoc } from '@tributary/store/workers';
import { nobodyRuns } from './slot-reports.ts';

const tickMs = 1000;
const turnLimitMs = 1000;
/** However often it is nudged. */
const gapMs = 100;
const roleMs = 6000;
/** A job that was not taken for so long is looked for in the queue; later again, since a full installation leaves it there. */
const queuedMs = 5000;
/** A pipeline that the pipelines service has not known for so long is not coming back. */
const unknownMs = 10 * 60_000;
/** A worker that fetched a job and did not take the lease for so long is not going to. */
const fetchedMs = 10_000;

export interface ReconcilerStores {
  readonly slots: Model<SlotDoc>;
  readonly orders: Model<PipelineOrderDoc>;
  readonly roles: Model<RoleDoc>;
  readonly clock: StoreClock;
}

export const jobIdOf = (slotId: string, epoch: number): string => `${slotId}-${epoch}`;

const isLeased = (slot: SlotDoc, now: Date): boolean => slot.lease !== null && slot.lease.expires_at > now;

const isMissing = async (slot: SlotDoc, now: Date, queue: JobQueue<RunSlotJob>): Promise<boolean> => {
  switch (slot.state) {
    case 'waiting':
      return false;
    case 'failed':
      return slot.retry_at === null || slot.retry_at <= now;
    case 'queued': {
      const waited = now.getTime() - (slot.queued_at?.getTime() ?? 0);
      if (waited < queuedMs) return false;
      const where = await queue.whereabouts(jobIdOf(slot._id, slot.epoch));
      return where === 'missing' || (where === 'active' && waited >= fetchedMs);
    }
    case 'idle':
    case 'running':
      return true;
  }
};

/** One comparison. Returns how many slots were enqueued. */
export const reconcile = async (stores: Pick<ReconcilerStores, 'slots' | 'orders' | 'clock'>, queue: JobQueue<RunSlotJob>): Promise<number> => {
  const { slots, clock } = stores;
  const now = clock.now();
  const found = await findSlots(slots, { $or: [{ wanted: true }, { lease: { $ne: null } }] });
  const leasedLayouts = new Map<string, Set<number>>();
  for (const slot of found)
    if (isLeased(slot, now)) leasedLayouts.set(slot.subscription_id, (leasedLayouts.get(slot.subscription_id) ?? new Set()).add(slot.slices));
  let enqueued = 0;
  for (const slot of found) {
    if (isLeased(slot, now)) continue;
    // Decided on what was read: a slot that changed meanwhile is looked at again in a moment.
    const unchanged = (write: (slot: SlotDoc, seq: number) => ReturnType<typeof nobodyRuns>) =>
      writeSlot(slots, slot._id, (present, seq) => (present.seq === slot.seq ? write(present, seq) : null), slot);
    if (!slot.wanted) {
      // Its worker died before it could say that it stopped.
      await unchanged((present, seq) => nobodyRuns(present, seq));
      continue;
    }
    if (slot.state === 'waiting' && slot.unknown_since != null && now.getTime() - slot.unknown_since.getTime() >= unknownMs) {
      // Before it goes: an order that comes after all must not begin below epochs that the target has seen.
      await stores.orders.collection.updateOne({ _id: slot.pipeline_id } as never, { $max: { floor: Math.max(slot.seq + 2, slot.epoch) } });
      await unchanged((present, seq) => {
        const removed = { ...present, wanted: false, removed: true };
        const last = nobodyRuns(removed, seq);
        return { ...last, set: { ...last.set, wanted: false, removed: true } };
      });
      continue;
    }
    if (!(await isMissing(slot, now, queue))) continue;
    // Slices of an older layout stop first: the target fences them all the same, but then they would commit nothing in between.
    const layouts = leasedLayouts.get(slot.subscription_id);
    if (layouts !== undefined && [...layouts].some((slices) => slices !== slot.slices)) continue;
    const epoch = slot.epoch + 1;
    const changed = await unchanged(() => ({ set: { epoch, state: 'queued', queued_at: now, lease: null } }));
    if (changed === null) continue;
    await queue.add(jobIdOf(slot._id, epoch), { slot_id: slot._id, epoch, trace: slot.trace });
    enqueued += 1;
  }
  return enqueued;
};

export interface Reconciler {
  /** Looks at once, if it is this worker's turn to reconcile. */
  nudge(): void;
  isElected(): boolean;
  stop(): Promise<void>;
}

export const startReconciler = (
  options: ReconcilerStores & { readonly queue: JobQueue<RunSlotJob>; readonly holder: string; readonly log: Logger; readonly health: Health },
): Reconciler => {
  const { roles, clock, holder, log } = options;
  const turning = heartbeat(30_000);
  options.health.add('reconciler', turning.check);
  let elected = false;
  let stopping = false;
  let wake = Promise.withResolvers<void>();

  const run = async (): Promise<void> => {
    while (!stopping) {
      wake = Promise.withResolvers<void>();
      try {
        const before = elected;
        elected = await holdRole(roles, 'reconciler', holder, clock.now(), roleMs);
        if (elected && !before) log.info('This worker reconciles now');
        if (elected) await reconcile(options, options.queue);
        turning.touch();
      } catch (error) {
        log.warn({ err: error }, `Slots could not be reconciled, trying again: ${messageOf(error)}`);
      }
      await sleep(gapMs, undefined, { ref: false });
      await Promise.race([sleep(tickMs - gapMs, undefined, { ref: false }), wake.promise]);
    }
  };
  const running = run();
  return {
    nudge: () => wake.resolve(),
    isElected: () => elected,
    stop: async () => {
      stopping = true;
      wake.resolve();
      // A turn that waits for a Redis which is away goes nowhere any more.
      await Promise.race([running, sleep(turnLimitMs, undefined, { ref: false })]);
      await leaveRole(roles, 'reconciler', holder);
    },
  };
};
