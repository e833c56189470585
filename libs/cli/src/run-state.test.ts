import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { beginRun, holdState, nextEpoch } from './run-state.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tributary-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

const wanted = { id: 'a', isGiven: false, from: 'Files x', to: 'DuckDB y' };

test('an epoch is larger than the last one, whatever the clock says, and fits a double', () => {
  expect(nextEpoch(0, 1_795_526_284_723)).toBeGreaterThanOrEqual(1_795_526_284_723_000);
  expect(nextEpoch(1_795_526_284_723_999, 1_000)).toBe(1_795_526_284_724_000);
  expect(Number.isSafeInteger(nextEpoch(0, Date.parse('2200-01-01')))).toBe(true);
});

test('a run after the state was lost has a larger epoch than those before', () => {
  const before = nextEpoch(0, 1000);
  expect(nextEpoch(0, 1001)).toBeGreaterThan(before);
});

test('a state is held by one at a time and kept whole', async () => {
  const file = path.join(folder, 'deep', 'orders.json');
  const held = await holdState(file);
  expect(held.last).toBeNull();
  const state = beginRun(null, wanted);
  await held.save(state);
  await expect(holdState(file)).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(`process ${process.pid}`) });
  held.release();
  const again = await holdState(file);
  expect(again.last).toEqual(state);
  expect(beginRun(again.last, wanted)).toMatchObject({ started_at: state.started_at });
  expect(beginRun(again.last, wanted).epoch).toBeGreaterThan(state.epoch);
  again.release();
  expect((await readdir(path.dirname(file))).sort()).toEqual(['orders.json', 'orders.lock']);
});

test('a state that is not ours says what to do, and does not stay locked', async () => {
  const file = path.join(folder, 'broken.json');
  await writeFile(file, '{"version": 9}');
  for (let times = 0; times < 2; times += 1)
    await expect(holdState(file)).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('Remove it') });
});

test('changed settings of the source are asked about; another table or a given id is not', () => {
  const last = beginRun(null, wanted);
  expect(() => beginRun(last, { ...wanted, id: 'b' })).toThrow('id: a');
  expect(beginRun(last, { ...wanted, id: 'b', to: 'DuckDB z' }).id).toBe('b');
  expect(beginRun(last, { ...wanted, id: 'b', isGiven: true }).id).toBe('b');
});
