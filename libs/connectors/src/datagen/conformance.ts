import type { Conformance } from '@tributary/conformance/under-test';
import type { Row } from '@tributary/contracts/types';

/** The suite's rows cannot be made up from a seed: a made row stands for the one of its index, which its `id` tells. */
const firstId = 9_007_199_254_740_993n;

const grows = 'rows come from a seed and their number is fixed: nobody can add one';

export const conformance: Conformance = {
  setup: async () => {
    const seeded = new Map<bigint, Row>();
    return {
      source: {
        broken: [
          { why: 'a max below the min', config: { columns: [{ name: 'n', kind: 'int', min: 5, max: 1 }] }, step: 'Columns', says: '"n"' },
          { why: 'a start that is no time', config: { columns: [{ name: 't', kind: 'timestamp', start: 'noon' }] }, step: 'Columns', says: 'noon' },
          {
            why: 'a column twice',
            config: {
              columns: [
                { name: 'a', kind: 'uuid' },
                { name: 'a', kind: 'bool' },
              ],
            },
            step: 'Columns',
            says: 'twice',
          },
        ],
        seed: async (stream, rows, columns) => {
          for (const row of rows) seeded.set(BigInt(row['id'] as bigint), row);
          return {
            stream,
            config: {
              stream,
              rows: rows.length,
              columns: columns.map(({ name }) =>
                name === 'id'
                  ? { name, kind: 'sequence', start: String(firstId) }
                  : { name, kind: name === 'at' ? 'timestamp' : name === 'amount' ? 'decimal' : 'text' },
              ),
            },
          };
        },
        unwrap: (row) => seeded.get(BigInt(row['id'] as bigint)) ?? row,
      },
      close: () => Promise.resolve(),
    };
  },
  skip: {
    'goes on with rows that come later': grows,
    'without a backfill it begins now': grows,
  },
};
