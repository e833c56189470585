import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type Checkpoint, type RejectedRow } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { targetConfig } from './config.ts';
import { addManifest, compact, readLatest } from './manifests.ts';
import { readRejected, readTable } from './read-table.ts';
import { fileTarget, folderName, manifestsKept } from './target.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'tributary-files-'));
  connectorSettings.fileRoot = root;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const said: string[] = [];
const open = (context: Partial<OpenTargetContext> & { readonly table: string }, config: Record<string, unknown> = {}): Promise<Target> =>
  fileTarget.open(targetConfig.parse({ path: 'out', ...config }), {
    slot: { pipelineId: 'p', subscriptionId: context.table, slice: 0, slices: 1 },
    epoch: 1,
    columns: null,
    primaryKey: [],
    errorTable: null,
    log: { debug: () => {}, info: (message) => said.push(message), warn: (message) => said.push(message) },
    signal: new AbortController().signal,
    ...context,
  });

const at = (offset: number): Checkpoint => ({ position: { at: String(offset) }, counts: { ...noCounts, read: offset } });
const deliver = (target: Target, rows: Row[], offset: number, rejected: RejectedRow[] = []) =>
  target.deliver({ data: { kind: 'rows', rows, ops: null, originOf: () => ({}) }, rejected, checkpoint: at(offset) });
const folderOf = (table: string): string => path.join(root, 'out', folderName(table));
const all = async (rows: AsyncIterable<Row>): Promise<Row[]> => {
  const found: Row[] = [];
  for await (const row of rows) found.push(row);
  return found;
};

test('a writer killed with SIGKILL loses nothing that was committed, and doubles nothing', async () => {
  let seen = 0;
  for (const [turn, perDelivery] of [100, 1, 5000, 20].entries()) {
    const writer = spawn(process.execPath, [new URL('writer.fixture.ts', import.meta.url).pathname, root, 'killed', String(turn + 1), String(perDelivery)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(writer, 'exit');
    let commits = 0;
    for await (const line of createInterface({ input: writer.stdout })) {
      if (line.startsWith('claimed ')) {
        expect(Number(line.slice(8))).toBeGreaterThanOrEqual(seen);
        continue;
      }
      seen = Number(line);
      commits += 1;
      if (commits === 7) setTimeout(() => writer.kill('SIGKILL'), turn);
    }
    expect((await exited)[1]).toBe('SIGKILL');
  }
  const { manifest } = await readLatest(folderOf('killed'), 's-1-0');
  const offset = Number(manifest?.checkpoint?.position.at);
  expect(offset).toBeGreaterThanOrEqual(seen);
  expect((await all(readTable(folderOf('killed')))).map((row) => row.id)).toEqual(Array.from({ length: offset }, (_, id) => id));
}, 60_000);

test('a claim removes parts that no manifest lists, and only those', async () => {
  const first = await open({ table: 'leftovers' });
  await first.claim();
  await deliver(first, [{ n: 1 }], 1);
  const folder = folderOf('leftovers');
  await writeFile(path.join(folder, 'part-leftovers-1-0-1-000000000099.jsonl'), '{"n":99}\n');
  await writeFile(path.join(folder, '.part-leftovers-1-0-1-000000000100.jsonl.1.tmp'), '{"n":');
  await writeFile(path.join(folder, '_manifests', '.leftovers-1-0-000000000003.json.leftovers-1-0_1.tmp'), '{');
  await writeFile(path.join(folder, 'part-leftovers-1-0-7-000000000101.jsonl'), 'of a later owner');
  expect(await all(readTable(folder))).toEqual([{ n: 1 }]);
  const second = await open({ table: 'leftovers', epoch: 2 });
  await second.claim();
  expect((await readdir(folder)).sort()).toEqual(['_manifests', 'part-leftovers-1-0-1-000000000002.jsonl', 'part-leftovers-1-0-7-000000000101.jsonl']);
  expect((await readdir(path.join(folder, '_manifests'))).every((file) => !file.startsWith('.'))).toBe(true);
  expect(said.join()).toContain('2 unfinished part files');
});

test('manifests stay few, and an owner that slept through a compaction is still fenced', async () => {
  const table = 'compacted';
  const sleeper = await open({ table });
  await sleeper.claim();
  await deliver(sleeper, [{ n: 0 }], 1);
  const heir = await open({ table, epoch: 2 });
  await heir.claim();
  const count = manifestsKept + 20;
  for (let n = 1; n <= count; n += 1) await deliver(heir, [{ n }], n + 1);
  const manifests = await readdir(path.join(folderOf(table), '_manifests'));
  expect(manifests.length).toBeLessThan(40);
  // The sleeper's next number is free again, behind the list.
  expect(manifests.some((name) => name.endsWith('-000000000003.json'))).toBe(false);
  await expect(deliver(sleeper, [{ n: -1 }], 2)).rejects.toMatchObject({ code: 'FENCED' });
  await compact(folderOf(table), `${table}-1-0`, 'test');
  const later = await open({ table, epoch: 3 });
  expect((await later.claim()).own).toEqual(at(count + 1));
  await deliver(later, [{ n: count + 1 }], count + 2);
  expect((await all(readTable(folderOf(table)))).map((row) => row.n)).toEqual(Array.from({ length: count + 2 }, (_, n) => n));
  // What it wrote before it knew is gone or unlisted.
  expect(
    await addManifest(folderOf(table), { version: 1, kind: 'commit', slot: `${table}-1-0`, epoch: 1, owner: 'x', checkpoint: null, parts: [], errors: [] }, 3),
  ).toBe(false);
}, 60_000);

test('rejected rows lie in a folder of their own, and without one they end the slot', async () => {
  const rejected: RejectedRow[] = [{ code: 'CAST_FAILED', reason: 'no', payload: 'x', origin: { offset: '1' } }];
  const target = await open({ table: 'with-errors', errorTable: 'its errors' });
  await target.claim();
  await deliver(target, [{ n: 1 }], 1, rejected);
  expect(await all(readRejected(folderOf('with-errors')))).toMatchObject([{ code: 'CAST_FAILED', origin: { offset: '1' } }]);
  expect(await readdir(path.join(root, 'out', 'its%20errors'))).toHaveLength(1);
  const without = await open({ table: 'without-errors' });
  await without.claim();
  await expect(deliver(without, [{ n: 1 }], 1, rejected)).rejects.toMatchObject({ code: 'REJECTS_EXCEEDED' });
  expect(await all(readTable(folderOf('without-errors')))).toEqual([]);
});

test('table names cannot lead out of the folder', async () => {
  for (const table of ['../up', '..', 'a/b', '.hidden', 'ünï 🚀']) {
    const target = await open({ table });
    await target.claim();
    await deliver(target, [{ n: 1 }], 1);
    expect(await all(readTable(folderOf(table)))).toEqual([{ n: 1 }]);
    expect(path.dirname(folderOf(table))).toBe(path.join(root, 'out'));
  }
});

test('CSV parts carry a header, null apart from the empty string', async () => {
  const target = await open(
    {
      table: 'csv',
      columns: [
        { name: 'a', type: null, nullable: true },
        { name: 'b', type: null, nullable: true },
      ],
      primaryKey: ['a'],
    },
    { format: 'csv' },
  );
  await target.claim();
  await deliver(
    target,
    [
      { a: 1, b: 'x\n"y"' },
      { a: 2, b: '' },
      { a: 3, b: null },
      { a: 9007199254740993n, b: { c: [1n] } },
    ],
    1,
  );
  expect(await readFile(path.join(folderOf('csv'), 'part-csv-1-0-1-000000000002.csv'), 'utf8')).toBe(
    'a,b,_tributary_deleted\n1,"x\n""y""",false\n2,"",false\n3,,false\n9007199254740993,"{""c"":[1]}",false\n',
  );
});
