/**
 * The leases of one worker on slots: taken for one epoch, renewed all at once, and given up by the worker itself before
 * anybody else may take over. Exclusion rests on the epoch in the store and in the target; the local clock only ends early.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreClock } from '@tributary/store/clock';
import { findSlots, writeSlot, type Model, type SlotDoc, type SlotWrite } from '@tributary/store/slots';

export interface LeaseTimes {
  readonly ttlMs: number;
  readonly renewMs: number;
  /** A lease that was not renewed counts as lost so long before it expires. */
  readonly marginMs: number;
}

/** A dead worker's slots are free after 10 s; four renewals may fail before a living one gives up. */
export const leaseTimes: LeaseTimes = { ttlMs: 10_000, renewMs: 1500, marginMs: 1500 };

export interface LeaseWatcher {
  /** A lease was renewed: the slot as the store has it now. */
  renewed(slot: SlotDoc): void;
  /** Somebody else may run the slot from now on: stop at once, write nothing. Called once. */
  lost(slotId: string, epoch: number): void;
}

export interface Leases {
  readonly holder: string;
  /** The slot, now ours; null when this epoch was taken before, is no longer the newest, or the slot is not wanted any more. */
  take(slotId: string, epoch: number): Promise<SlotDoc | null>;
  /** Renews all, and reads what became of the slots. */
  renew(): Promise<void>;
  /** Changes a slot of which the lease is ours; null when it is not. */
  write(slotId: string, epoch: number, decide: (slot: SlotDoc, seq: number) => SlotWrite | null): Promise<SlotDoc | null>;
  /** Gives the lease back with a last write; null when it was not ours any more. */
  release(slotId: string, epoch: number, decide: (slot: SlotDoc, seq: number) => SlotWrite): Promise<SlotDoc | null>;
  held(): number;
  /** Milliseconds since leases were last renewed; 0 while there is none. */
  overdueMs(): number;
  stop(): Promise<void>;
}

interface Entry {
  readonly slotId: string;
  readonly epoch: number;
  /** On the clock of performance.now(). */
  deadline: number;
  releasing: boolean;
}

export const openLeases = (options: {
  readonly slots: Model<SlotDoc>;
  readonly clock: StoreClock;
  readonly holder: string;
  readonly times?: LeaseTimes;
  readonly watcher: LeaseWatcher;
  readonly onTrouble: (error: unknown) => void;
}): Leases => {
  const { slots, clock, holder, watcher } = options;
  const times = options.times ?? leaseTimes;
  const entries = new Map<string, Entry>();
  const stopped = new AbortController();
  let renewedAt = performance.now();

  const expiry = (): Date => new Date(clock.now().getTime() + times.ttlMs);
  const deadlineFrom = (asked: number): number => asked + times.ttlMs - times.marginMs;
  const isOurs = (slot: SlotDoc, epoch: number): boolean => slot.lease?.holder === holder && slot.lease.epoch === epoch;

  const lose = (entry: Entry): void => {
    if (entries.get(entry.slotId) !== entry) return;
    entries.delete(entry.slotId);
    watcher.lost(entry.slotId, entry.epoch);
  };

  const renewAll = async (): Promise<void> => {
    const asked = performance.now();
    const known = [...entries.values()];
    if (known.length > 0) {
      const ids = known.map(({ slotId }) => slotId);
      await slots.collection.updateMany({ _id: { $in: ids }, 'lease.holder': holder } as never, { $set: { 'lease.expires_at': expiry() } });
      const found = new Map((await findSlots(slots, { _id: { $in: ids } })).map((slot) => [slot._id, slot]));
      for (const entry of known) {
        if (entry.releasing || entries.get(entry.slotId) !== entry) continue;
        const slot = found.get(entry.slotId);
        if (slot === undefined || !isOurs(slot, entry.epoch)) {
          lose(entry);
          continue;
        }
        entry.deadline = Math.max(entry.deadline, deadlineFrom(asked));
        watcher.renewed(slot);
      }
    }
    renewedAt = performance.now();
  };

  // One round at a time; whoever asks while one is under way gets the next, since the present one may have read already.
  let current: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  const renew = (): Promise<void> => {
    if (current === null) {
      // A call that hangs must not keep later ones from being made: what it does late is only to renew.
      current = Promise.race([renewAll(), sleep(3000, undefined, { ref: false })]).finally(() => {
        current = null;
      });
      return current;
    }
    next ??= current
      .catch(() => undefined)
      .then(() => {
        next = null;
        return renew();
      });
    return next;
  };

  const fence = setInterval(() => {
    const now = performance.now();
    for (const entry of entries.values()) if (now >= entry.deadline) lose(entry);
  }, 250);
  fence.unref();

  const renewing = (async () => {
    while (!stopped.signal.aborted) {
      await sleep(times.renewMs, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined);
      if (!stopped.signal.aborted) await renew().catch(options.onTrouble);
    }
  })();

  const write: Leases['write'] = (slotId, epoch, decide) => writeSlot(slots, slotId, (slot, seq) => (isOurs(slot, epoch) ? decide(slot, seq) : null));

  return {
    holder,
    take: async (slotId, epoch) => {
      const asked = performance.now();
      const slot = await writeSlot(slots, slotId, ({ wanted, lease, epoch: newest, claimed_epoch }) =>
        wanted && lease === null && newest === epoch && claimed_epoch < epoch
          ? { set: { lease: { holder, epoch, expires_at: expiry() }, claimed_epoch: epoch, state: 'running', queued_at: null } }
          : null,
      );
      if (slot === null) return null;
      const entry = { slotId, epoch, deadline: deadlineFrom(asked), releasing: false };
      const older = entries.get(slotId);
      if (older !== undefined) lose(older);
      entries.set(slotId, entry);
      return slot;
    },
    renew,
    write,
    release: async (slotId, epoch, decide) => {
      const entry = entries.get(slotId);
      if (entry?.epoch === epoch) entry.releasing = true;
      try {
        return await write(slotId, epoch, (slot, seq) => {
          const last = decide(slot, seq);
          return { ...last, set: { ...last.set, lease: null } };
        });
      } finally {
        if (entry !== undefined && entry.epoch === epoch && entries.get(slotId) === entry) entries.delete(slotId);
      }
    },
    held: () => entries.size,
    overdueMs: () => (entries.size === 0 ? 0 : Math.max(0, performance.now() - renewedAt)),
    stop: async () => {
      stopped.abort();
      clearInterval(fence);
      await renewing;
    },
  };
};
