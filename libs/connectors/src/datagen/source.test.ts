import { expect, test } from 'vitest';
import type { OpenSourceContext } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { sourceConfig } from './config.ts';
import { datagenSource } from './source.ts';

const open = (config: Record<string, unknown>, context: Partial<OpenSourceContext> = {}) =>
  datagenSource.open(sourceConfig.parse(config), {
    stream: null,
    consumerId: 'c',
    slice: 0,
    slices: 1,
    mode: 'once',
    backfill: true,
    startedAt: new Date(),
    log: { debug: () => {}, info: () => {}, warn: () => {} },
    signal: AbortSignal.timeout(30_000),
    ...context,
  });

/** Reads to the end, or until so many rows came. */
const read = async (
  config: Record<string, unknown>,
  context: Partial<OpenSourceContext> = {},
  from: Position = {},
  enough = Number.POSITIVE_INFINITY,
  maxRows = 7,
) => {
  const reader = (await open(config, context)).read(from, { format: 'rows', maxRows, maxBytes: 1 << 20 });
  const rows: Row[] = [];
  let position = from;
  while (rows.length < enough) {
    const batch = await reader.next(AbortSignal.timeout(30_000));
    if (batch === 'end') break;
    if (batch === 'idle' || batch.kind !== 'rows') continue;
    rows.push(...batch.rows);
    ({ position } = batch);
  }
  return { rows, position };
};

const everything = {
  rows: 500,
  columns: [
    { name: 'id', kind: 'sequence', start: '9007199254740990', step: 3 },
    { name: 'u', kind: 'uuid' },
    { name: 'i', kind: 'int', min: -5, max: 5 },
    { name: 'f', kind: 'float', min: -1, max: 1 },
    { name: 'd', kind: 'decimal', min: -10, max: 10, scale: 20 },
    { name: 'b', kind: 'bool', true_ratio: 0.9 },
    { name: 't', kind: 'text', min_length: 0, max_length: 40, null_ratio: 0.2 },
    { name: 'at', kind: 'timestamp', start: '1969-12-31T23:59:59.999990Z', step_microseconds: 7 },
    { name: 'c', kind: 'choice', values: ['x', 'y'] },
  ],
};

test('every kind keeps to its type and bounds', async () => {
  const { rows } = await read(everything);
  expect(rows).toHaveLength(500);
  expect(rows.slice(0, 4).map((row) => row['id'])).toEqual([9007199254740990, 9007199254740993n, 9007199254740996n, 9007199254740999n]);
  expect(rows.slice(0, 3).map((row) => row['at'])).toEqual(['1969-12-31T23:59:59.999990Z', '1969-12-31T23:59:59.999997Z', '1970-01-01T00:00:00.000004Z']);
  for (const row of rows) {
    expect(row['u']).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(row['d']).toMatch(/^-?\d{1,2}\.\d{20}$/);
    expect(Math.abs(Number(row['i']))).toBeLessThanOrEqual(5);
    expect(Math.abs(Number(row['f']))).toBeLessThan(1);
  }
  expect(new Set(rows.map((row) => row['u'])).size).toBe(500);
  expect(new Set(rows.map((row) => row['i'])).size).toBe(11);
  const nulls = rows.filter((row) => row['t'] === null).length;
  expect(nulls).toBeGreaterThan(50);
  expect(nulls).toBeLessThan(150);
  expect(rows.filter((row) => row['b'] === true).length).toBeGreaterThan(400);
});

test('a seed gives the same rows, another one others; a new column changes no other', async () => {
  const one = await read(everything);
  expect((await read({ ...everything })).rows).toEqual(one.rows);
  const other = await read({ ...everything, seed: 2 });
  expect(other.rows.filter((row, index) => row['u'] === one.rows[index]?.['u'])).toEqual([]);
  const wider = await read({ ...everything, row_bytes: 1000 });
  expect(wider.rows.map(({ payload: _, ...row }) => row)).toEqual(one.rows);
  expect(JSON.stringify(wider.rows[0]).length).toBeGreaterThan(900);
});

test('slices share the rows, and a new layout makes exactly the rest', async () => {
  const config = { rows: 1000, columns: [{ name: 'id', kind: 'sequence' }] };
  const made: Row[] = [];
  const positions: Position[] = [];
  for (const [slice, enough] of [300, 20].entries()) {
    const part = await read(config, { slice, slices: 2 }, {}, enough);
    made.push(...part.rows);
    positions.push(part.position);
  }
  const source = await open(config);
  const second = source.mergePositions(positions);
  const third: Position[] = [];
  for (const [slice, enough] of [40, 80, 0].entries()) {
    const part = await read(config, { slice, slices: 3 }, { ...second, [`${slice}/3`]: '0' }, enough);
    made.push(...part.rows);
    third.push(part.position);
  }
  // Back to the first layout, whose own old parts count too.
  const last = source.mergePositions([...positions, ...third]);
  for (const slice of [0, 1]) made.push(...(await read(config, { slice, slices: 2 }, last)).rows);
  expect(made.map((row) => Number(row['id'])).sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, id) => id));
});

test('keeps to the rate, and an endless stream heeds an abort', async () => {
  const started = performance.now();
  await read({ rows_per_second: 2000 }, { mode: 'continuous' }, {}, 1000, 10_000);
  const took = performance.now() - started;
  expect(took).toBeGreaterThan(450);
  expect(took).toBeLessThan(1500);
  const reader = (await open({}, { mode: 'continuous' })).read({}, { format: 'rows', maxRows: 1000, maxBytes: 1 << 20 });
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error('Enough.')), 50);
  const forEver = async (): Promise<void> => {
    for (;;) await reader.next(abort.signal);
  };
  await expect(forEver()).rejects.toThrow('Enough.');
});

test('reading an endless stream once is refused', async () => {
  await expect(open({})).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});
