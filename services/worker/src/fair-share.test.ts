import { expect, test } from 'vitest';
import fc from 'fast-check';
import { balance, fairShare } from './fair-share.ts';

test('shares are equal, and a small worker leaves the rest to the others', () => {
  expect(fairShare(6, 50, [50, 50])).toBe(3);
  expect(fairShare(7, 50, [50, 50])).toBe(4);
  expect(fairShare(60, 2, [2, 50])).toBe(2);
  expect(fairShare(40, 50, [2, 50])).toBe(38);
  expect(fairShare(100, 50, [2, 50])).toBe(50);
  expect(fairShare(0, 50, [50, 50])).toBe(0);
});

test('the shares of all hold what is wanted, as far as it fits', () => {
  fc.assert(
    fc.property(fc.nat(200), fc.array(fc.nat(60), { minLength: 1, maxLength: 6 }), (wanted, capacities) => {
      const room = capacities.reduce((sum, each) => sum + each, 0);
      const shares = capacities.map((capacity) => fairShare(wanted, capacity, capacities));
      expect(shares.reduce((sum, each) => sum + each, 0)).toBeGreaterThanOrEqual(Math.min(wanted, room));
      for (const [index, share] of shares.entries()) expect(share).toBeLessThanOrEqual(capacities[index] ?? 0);
    }),
  );
});

test('giving back settles: once nobody has a surplus, nobody gets one', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 2, maxLength: 5 }),
      fc.array(fc.nat(59), { minLength: 5, maxLength: 5 }),
      (wanted, capacities, start) => {
        let left = Math.min(
          wanted,
          capacities.reduce((sum, each) => sum + each, 0),
        );
        let workers = capacities.map((capacity, index) => {
          const held = Math.min(capacity, left, start[index] ?? 0);
          left -= held;
          return { id: String(index), capacity, held };
        });
        for (let turn = 0; turn < 200; turn += 1) {
          const balances = workers.map((worker) => balance(worker, workers, wanted, false));
          if (balances.every(({ surplus }) => surplus === 0) && left === 0) return;
          workers = workers.map((worker, index) => ({ ...worker, held: worker.held - (balances[index]?.surplus ?? 0) }));
          left += balances.reduce((sum, { surplus }) => sum + surplus, 0);
          workers = workers.map((worker, index) => {
            const taken = Math.max(0, Math.min(left, (balances[index]?.limit ?? 0) - worker.held));
            left -= taken;
            return { ...worker, held: worker.held + taken };
          });
        }
        expect.unreachable();
      },
    ),
  );
});

test('alone, or with jobs that nobody takes, a worker takes all it can and keeps it', () => {
  const self = { id: 'a', capacity: 50, held: 10 };
  expect(balance(self, [self], 10, false)).toEqual({ limit: 50, surplus: 0 });
  expect(balance(self, [self, { id: 'b', capacity: 50, held: 0 }], 10, true)).toEqual({ limit: 50, surplus: 0 });
  expect(balance(self, [self, { id: 'b', capacity: 0, held: 0 }], 10, false)).toEqual({ limit: 50, surplus: 0 });
  expect(balance(self, [self, { id: 'b', capacity: 50, held: 0 }], 10, false)).toEqual({ limit: 5, surplus: 5 });
});
