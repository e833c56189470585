import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { OpKind } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { foldOps } from './fold-ops.ts';

test('folding leaves the state that the ops would leave one by one', () => {
  const op = fc.record({
    kind: fc.constantFrom<OpKind>('upsert', 'delete'),
    region: fc.constantFrom('', 'a', 'a1', '1'),
    number: fc.integer({ min: 0, max: 11 }),
  });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (all) => {
      const rows: Row[] = all.map(({ region, number }, index) => ({ region, number, index }));
      const ops = all.map(({ kind }) => kind);
      const keyOf = (row: Row): string => JSON.stringify([row['region'], row['number']]);
      const expected = new Map<string, number>();
      for (const [index, row] of rows.entries()) {
        if (ops[index] === 'delete') expected.delete(keyOf(row));
        else expected.set(keyOf(row), index);
      }
      const { upserts, deletes } = foldOps(rows, ops, ['region', 'number']);
      const state = new Map(upserts.map((index) => [keyOf(rows[index] as Row), index]));
      expect(state).toEqual(expected);
      expect(state.size).toBe(upserts.length);
      for (const index of deletes) expect(expected.has(keyOf(rows[index] as Row))).toBe(false);
    }),
  );
});

test('rows without a value in a key column are set apart', () => {
  const { upserts, keyless } = foldOps([{ id: 1 }, { id: null }, {}, { id: 1 }], null, ['id']);
  expect(upserts).toEqual([3]);
  expect([...keyless]).toEqual([
    [1, 'id'],
    [2, 'id'],
  ]);
});

test('without a key nothing is folded', () => {
  expect(foldOps([{ id: 1 }, { id: 1 }], null, []).upserts).toEqual([0, 1]);
});
