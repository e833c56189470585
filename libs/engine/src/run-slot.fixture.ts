/** A source and a target in memory whose every step can be held up or made to fail, to try the order of things in the engine. */
import { setImmediate as nextTick } from 'node:timers/promises';
import type { Batch, Checkpoint, Position, Slot } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import type { Source } from '@tributary/connector-sdk/source';
import { withRefused, type Delivery, type Target } from '@tributary/connector-sdk/target';
import { TributaryError } from '@tributary/errors/error';

/** Called before and after whatever would wait for another process: may throw, may wait. */
export type Step = (name: string) => Promise<void>;

export const free: Step = () => nextTick();

export interface LogSource extends Source {
  readonly told: Position[];
  /** Bytes handed out so far. */
  bytes: number;
}

const furthest = (positions: readonly Position[]): Position => {
  const merged: Record<string, string> = {};
  for (const position of positions) {
    for (const [part, at] of Object.entries(position)) merged[part] = String(Math.max(Number(merged[part] ?? 0), Number(at)));
  }
  return merged;
};

/**
 * Reads `parts`, of which a slice owns every `slices`-th, `perBatch` rows at a time. `mode` `continuous` gives `idle` at the end.
 * A row with `unreadable: true` is one that the source rejects.
 */
export const logSource = (
  parts: Readonly<Record<string, readonly Row[]>>,
  options: {
    slice?: number;
    slices?: number;
    perBatch?: number;
    bytesPerRow?: number;
    mode?: 'once' | 'continuous';
    step?: Step;
    from?: Position;
    newestAt?: number | null;
  } = {},
): LogSource => {
  const { slice = 0, slices = 1, perBatch = 3, bytesPerRow = 100, mode = 'once', step = free } = options;
  const mine = Object.keys(parts).filter((_, index) => index % slices === slice);
  const told: Position[] = [];
  const source: LogSource = {
    formats: [],
    told,
    bytes: 0,
    schema: () => Promise.resolve(null),
    firstPosition: async () => {
      await step('firstPosition');
      return Object.fromEntries(mine.map((part) => [part, options.from?.[part] ?? '0']));
    },
    mergePositions: furthest,
    read: (from) => {
      let position = from;
      return {
        next: async (signal) => {
          await step('next');
          signal.throwIfAborted();
          for (const part of mine) {
            const begin = Number(position[part] ?? 0);
            const all = (parts[part] ?? []).slice(begin, begin + perBatch);
            if (all.length === 0) continue;
            position = { ...position, [part]: String(begin + all.length) };
            const rows = all.filter((row) => row['unreadable'] !== true);
            const bytes = all.length * bytesPerRow;
            source.bytes += bytes;
            return {
              kind: 'rows',
              rows,
              originOf: (index) => ({ part, row: (parts[part] ?? []).indexOf(rows[index] ?? {}) }),
              unreadable: all
                .filter((row) => row['unreadable'] === true)
                .map((row) => ({ code: 'ROW_UNREADABLE', reason: 'No JSON.', payload: JSON.stringify(row), origin: { part } })),
              position,
              bytes,
              newestAt: options.newestAt ?? null,
            } satisfies Batch;
          }
          if (mode === 'once') return 'end';
          await new Promise<void>((resolve, reject) => {
            const timer = setTimeout(resolve, 50);
            signal.addEventListener('abort', () => {
              clearTimeout(timer);
              reject(signal.reason as Error);
            });
          });
          return 'idle';
        },
      };
    },
    committed: async (at) => {
      await step('committed');
      told.push(at);
    },
    close: () => Promise.resolve(),
  };
  return source;
};

export const createDatabase = () => ({
  rows: [] as Row[],
  rejected: [] as string[],
  checkpoints: new Map<string, { epoch: number; checkpoint: Checkpoint | null }>(),
  deliveries: [] as Delivery[],
  /** Deliveries that are being committed at this moment, and the most there ever were. */
  inFlight: 0,
  mostInFlight: 0,
});
export type Database = ReturnType<typeof createDatabase>;

const key = (slot: Slot): string => `${slot.slices}-${slot.slice}`;

/** A row with `refuse: true` is refused by the target. */
export const databaseTarget = (database: Database, slot: Slot, epoch: number, step: Step = free): Target => {
  const assertOwner = (): void => {
    if ((database.checkpoints.get(key(slot))?.epoch ?? 0) !== epoch) throw new TributaryError('FENCED', 'A newer owner has the slot.');
  };
  return {
    formats: [],
    claim: async () => {
      await step('claim');
      const otherLayouts = [...database.checkpoints].filter(([name]) => !name.startsWith(`${slot.slices}-`));
      if ([database.checkpoints.get(key(slot)), ...otherLayouts.map(([, held]) => held)].some((held) => (held?.epoch ?? 0) > epoch)) {
        throw new TributaryError('FENCED', 'A newer owner has the slot.');
      }
      for (const [name, held] of otherLayouts) database.checkpoints.set(name, { ...held, epoch });
      const own = database.checkpoints.get(key(slot))?.checkpoint ?? null;
      database.checkpoints.set(key(slot), { epoch, checkpoint: own });
      const others = [...database.checkpoints].flatMap(([name, { checkpoint }]) => (name === key(slot) || checkpoint === null ? [] : [checkpoint]));
      await step('claimed');
      return { own, others };
    },
    deliver: async (delivery) => {
      database.inFlight += 1;
      database.mostInFlight = Math.max(database.mostInFlight, database.inFlight);
      try {
        await step('deliver');
        assertOwner();
        const { data } = delivery;
        const rows = data.kind === 'rows' ? data.rows : data.batches.map(({ count }) => ({ count }));
        const taken = rows.filter((row) => row['refuse'] !== true);
        const refused = rows
          .filter((row) => row['refuse'] === true)
          .map((row) => ({ code: 'ROW_REFUSED' as const, reason: 'Not taken.', payload: JSON.stringify(row), origin: {} }));
        const checkpoint = { ...delivery.checkpoint, counts: withRefused(delivery.checkpoint.counts, refused.length) };
        database.rows.push(...taken);
        database.rejected.push(...[...delivery.rejected, ...refused].map(({ reason }) => reason));
        database.checkpoints.set(key(slot), { epoch, checkpoint });
        database.deliveries.push(delivery);
        await step('delivered');
        return { checkpoint, refused };
      } finally {
        database.inFlight -= 1;
      }
    },
    close: () => Promise.resolve(),
  };
};
