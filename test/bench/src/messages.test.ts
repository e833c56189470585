import { compileMapper } from '@tributary/engine/mapper/compile';
import type { Row } from '@tributary/contracts/types';
import { expect, test } from 'vitest';
import { addMapped, mappedOf, mapper, messageOf, type FieldSums } from './messages.ts';

const sumsOf = (ids: readonly number[], change: (row: Record<string, unknown>, id: number) => void = () => undefined): FieldSums => {
  const sums: FieldSums = new Map();
  for (const id of ids) {
    const { key, value } = messageOf(id);
    const row = { ...mappedOf(value) };
    change(row, id);
    addMapped(sums, key, row);
  }
  return sums;
};

test('the mapper makes of a message what is expected of it', () => {
  const { value, key } = messageOf(41);
  const rows: Row[] = [];
  expect(compileMapper(mapper).map(JSON.parse(value) as Row, 'upsert', rows)).toBe(true);
  expect(rows).toEqual([mappedOf(value)]);
  expect(rows[0]?.['userId']).toBe(key);
});

test('sums do not depend on the order', () => {
  expect(sumsOf([3, 1, 2])).toEqual(sumsOf([1, 2, 3]));
});

test('sums tell a value that went to another message', () => {
  const first = mappedOf(messageOf(1).value)['at'];
  const second = mappedOf(messageOf(2).value)['at'];
  const swapped = sumsOf([1, 2], (row, id) => {
    row['at'] = id === 1 ? second : first;
  });
  const right = sumsOf([1, 2]);
  expect([...right.keys()].filter((field) => right.get(field) !== swapped.get(field))).toEqual(['at']);
});
