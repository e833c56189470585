import { appendFile, mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile, open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { OpenSourceContext, Source } from '@tributary/connector-sdk/source';
import type { Position, RowBatch } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { recordLimit } from './file-records.ts';
import { sourceConfig } from './config.ts';
import { fileSource } from './source.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'tributary-files-'));
  connectorSettings.fileRoot = root;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const warnings: string[] = [];
const signal = AbortSignal.timeout(120_000);
const context: OpenSourceContext = {
  stream: null,
  consumerId: 'c',
  slice: 0,
  slices: 1,
  mode: 'once',
  backfill: true,
  startedAt: new Date(),
  signal,
  log: { debug: () => {}, info: (message) => warnings.push(message), warn: (message) => warnings.push(message) },
};

const open = (config: Record<string, unknown>, more: Partial<OpenSourceContext> = {}): Promise<Source> =>
  fileSource.open(sourceConfig.parse({ poll_interval_seconds: 0.05, ...config }), { ...context, ...more });

let folders = 0;
/** A fresh folder, relative to the root. */
const folder = async (): Promise<string> => {
  const name = `f${(folders += 1)}`;
  await mkdir(path.join(root, name));
  return name;
};
const at = (relative: string): string => path.join(root, relative);

interface Read {
  readonly batches: RowBatch[];
  readonly rows: Row[];
  readonly refused: { readonly code: string; readonly reason: string; readonly payload: string; readonly origin: object }[];
  readonly position: Position;
}

/** All that a run in mode `once` gives. */
const readOnce = async (
  config: Record<string, unknown>,
  from: Position = {},
  more: Partial<OpenSourceContext> & { maxRows?: number; maxBytes?: number } = {},
): Promise<Read> => {
  const source = await open(config, more);
  const reader = source.read(from, { format: 'rows', maxRows: more.maxRows ?? 1000, maxBytes: more.maxBytes ?? 1 << 20 });
  const batches: RowBatch[] = [];
  for (let batch = await reader.next(signal); batch !== 'end'; batch = await reader.next(signal))
    if (batch !== 'idle' && batch.kind === 'rows') batches.push(batch);
  await source.close();
  return {
    batches,
    rows: batches.flatMap((batch) => batch.rows),
    refused: batches.flatMap((batch) => batch.unreadable),
    position: batches.at(-1)?.position ?? from,
  };
};

/** A reader that goes on; `until` collects rows till there are so many. */
const follow = async (config: Record<string, unknown>, from: Position = {}) => {
  const source = await open(config, { mode: 'continuous' });
  const reader = source.read(from, { format: 'rows', maxRows: 1000, maxBytes: 1 << 20 });
  const rows: Row[] = [];
  let position = from;
  const step = async (): Promise<'idle' | 'rows'> => {
    const batch = await reader.next(signal);
    if (batch === 'idle' || batch === 'end' || batch.kind !== 'rows') return 'idle';
    rows.push(...batch.rows);
    position = batch.position;
    return 'rows';
  };
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await step();
  };
  /** Goes on until there was nothing for three looks. */
  const idle = async (): Promise<void> => {
    for (let looks = 0; looks < 3;) if ((await step()) === 'idle') looks += 1;
  };
  return { rows, until, idle, position: () => position, close: () => source.close() };
};

describe('following', () => {
  test('a growing file is tailed, and a half-written line waits for its newline', async () => {
    const dir = await folder();
    await writeFile(at(`${dir}/a.jsonl`), '{"n":1}\n{"n":2');
    const tail = await follow({ path: `${dir}/*.jsonl` });
    await tail.until(() => tail.rows.length === 1);
    await tail.idle();
    expect(tail.rows).toEqual([{ n: 1 }]);
    await appendFile(at(`${dir}/a.jsonl`), '2}\n{"n":3}\n');
    await tail.until(() => tail.rows.length === 3);
    await writeFile(at(`${dir}/b.jsonl`), '{"n":4}\n');
    await tail.until(() => tail.rows.length === 4);
    expect(tail.rows).toEqual([{ n: 1 }, { n: 22 }, { n: 3 }, { n: 4 }]);
    await tail.close();
    expect((await readOnce({ path: `${dir}/*.jsonl` }, tail.position())).rows).toEqual([]);
  });

  test('in mode once the last line counts without a newline if it parses, else it is rejected', async () => {
    const dir = await folder();
    await writeFile(at(`${dir}/a.jsonl`), '{"n":1}\n{"n":2}');
    await writeFile(at(`${dir}/b.jsonl`), '{"n":3}\n{"n":');
    const read = await readOnce({ path: `${dir}/*.jsonl` });
    expect(read.rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(read.refused).toMatchObject([{ code: 'ROW_UNREADABLE', payload: '{"n":', origin: { path: `${dir}/b.jsonl`, offset: '8' } }]);
    expect(await readOnce({ path: `${dir}/*.jsonl` }, read.position)).toMatchObject({ rows: [], refused: [] });
  });

  test('a truncated or replaced file is read from its start, and that is said', async () => {
    const dir = await folder();
    const file = at(`${dir}/a.jsonl`);
    // Files that begin alike for more than the first KB, as those with a wide header do.
    const head = `{"head":"${'x'.repeat(2000)}"}\n`;
    await writeFile(file, `${head}{"n":1}\n{"n":2}\n`);
    const first = await readOnce({ path: `${dir}/a.jsonl` });
    expect(first.rows).toHaveLength(3);
    await truncate(file, head.length + 8);
    const second = await readOnce({ path: `${dir}/a.jsonl` }, first.position);
    expect(second.rows).toHaveLength(2);
    await writeFile(at(`${dir}/new`), `${head}{"n":7}\n{"n":8}\n{"n":9}\n`);
    await rename(at(`${dir}/new`), file);
    warnings.length = 0;
    const third = await readOnce({ path: `${dir}/a.jsonl` }, second.position);
    expect(third.rows.slice(1)).toEqual([{ n: 7 }, { n: 8 }, { n: 9 }]);
    expect(warnings.join()).toContain('truncated or replaced');
    const source = await open({ path: `${dir}/a.jsonl` });
    expect(source.mergePositions([third.position, first.position, second.position])).toEqual(third.position);
  });

  test('without a backfill a half-written line is read once it is whole', async () => {
    const dir = await folder();
    await writeFile(at(`${dir}/a.csv`), 'n\n1\n2');
    await writeFile(at(`${dir}/b.csv.gz`), gzipSync('n\n8\n'));
    const source = await open({ path: `${dir}/*` }, { mode: 'continuous', backfill: false });
    const from = await source.firstPosition();
    await appendFile(at(`${dir}/a.csv`), '2\n3\n');
    await appendFile(at(`${dir}/b.csv.gz`), gzipSync('9\n'));
    const tail = await follow({ path: `${dir}/*` }, from);
    await tail.until(() => tail.rows.length === 3);
    expect(tail.rows).toEqual([{ n: '22' }, { n: '3' }, { n: '9' }]);
    await tail.close();
  });

  test('slices read each file once between them', async () => {
    const dir = await folder();
    for (let index = 0; index < 20; index += 1) await writeFile(at(`${dir}/${index}.jsonl`), `{"n":${index}}\n`);
    const slices = await Promise.all([0, 1, 2].map((slice) => readOnce({ path: `${dir}/*.jsonl` }, {}, { slice, slices: 3 })));
    expect(slices.every((slice) => slice.rows.length > 0)).toBe(true);
    expect(slices.flatMap((slice) => slice.rows.map((row) => Number(row.n))).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n));
    const source = await open({ path: `${dir}/*.jsonl` });
    const merged = source.mergePositions(slices.map((slice) => slice.position));
    expect((await readOnce({ path: `${dir}/*.jsonl` }, merged)).rows).toEqual([]);
  });
});

describe('formats', () => {
  test('CSV resumes at any record, with embedded newlines and a header', async () => {
    const dir = await folder();
    const values = Array.from({ length: 50 }, (_, n) => (n % 3 === 0 ? `line\n"${n}"\r\nend, of` : `é${n}`));
    await writeFile(at(`${dir}/a.csv`), `\ufeffid,text\r\n${values.map((text, id) => `${id},"${text.replaceAll('"', '""')}"\r\n`).join('')}`);
    const expected = values.map((text, id) => ({ id: String(id), text }));
    const whole = await readOnce({ path: `${dir}/a.csv` }, {}, { maxRows: 7 });
    expect(whole.rows).toEqual(expected);
    let before = 0;
    for (const batch of whole.batches) {
      before += batch.rows.length;
      expect((await readOnce({ path: `${dir}/a.csv` }, batch.position)).rows).toEqual(expected.slice(before));
    }
  });

  test('gzip and zstd resume at any record, also behind appended frames', async () => {
    const dir = await folder();
    const lines = (from: number, count: number): string => Array.from({ length: count }, (_, n) => `{"n":${from + n}}\n`).join('');
    for (const [name, compress] of [
      ['a.jsonl.gz', gzipSync],
      ['a.jsonl.zst', zstdCompressSync],
    ] as const) {
      await writeFile(at(`${dir}/${name}`), Buffer.concat([compress(lines(0, 30)), compress(lines(30, 10))]));
      const whole = await readOnce({ path: `${dir}/${name}` }, {}, { maxRows: 9 });
      expect(whole.rows.map((row) => row.n)).toEqual(Array.from({ length: 40 }, (_, n) => n));
      for (const batch of whole.batches.slice(0, -1)) {
        const rest = await readOnce({ path: `${dir}/${name}` }, batch.position);
        expect(rest.rows[0]).toEqual({ n: Number(batch.rows.at(-1)?.n) + 1 });
        expect(rest.rows.at(-1)).toEqual({ n: 39 });
      }
      expect((await readOnce({ path: `${dir}/${name}` }, whole.position)).batches).toEqual([]);
      await appendFile(at(`${dir}/${name}`), compress(lines(40, 5)));
      expect((await readOnce({ path: `${dir}/${name}` }, whole.position)).rows.map((row) => row.n)).toEqual([40, 41, 42, 43, 44]);
    }
  });

  test('a damaged compressed file gives its good rows and one rejected row', async () => {
    const dir = await folder();
    const random = Array.from({ length: 20_000 }, (_, n) => `{"n":${n},"x":"${Math.random()}"}\n`).join('');
    for (const [name, compress] of [
      ['a.jsonl.gz', gzipSync],
      ['a.jsonl.zst', zstdCompressSync],
    ] as const) {
      const bytes = compress(random);
      await writeFile(at(`${dir}/${name}`), bytes.subarray(0, bytes.length >> 1));
      const read = await readOnce({ path: `${dir}/${name}` });
      expect(read.rows.length).toBeGreaterThan(100);
      expect(read.refused.at(-1)).toMatchObject({ code: 'ROW_UNREADABLE', reason: expect.stringContaining('cut off or damaged') });
      expect((await readOnce({ path: `${dir}/${name}` }, read.position)).batches).toEqual([]);
    }
    await writeFile(at(`${dir}/no.csv.gz`), 'not compressed');
    expect((await readOnce({ path: `${dir}/no.csv.gz` })).refused).toHaveLength(1);
  });

  test('a compressed file still being written is read on once it has grown', async () => {
    const dir = await folder();
    const bytes = gzipSync(Array.from({ length: 50_000 }, (_, n) => `{"n":${n},"x":"${Math.random()}"}\n`).join(''));
    await writeFile(at(`${dir}/a.jsonl.gz`), bytes.subarray(0, bytes.length >> 1));
    const tail = await follow({ path: `${dir}/a.jsonl.gz` });
    await tail.until(() => tail.rows.length > 10_000);
    await tail.idle();
    expect(tail.rows.length).toBeLessThan(50_000);
    await appendFile(at(`${dir}/a.jsonl.gz`), bytes.subarray(bytes.length >> 1));
    await tail.until(() => tail.rows.length >= 50_000);
    expect(tail.rows.map((row) => row.n)).toEqual(Array.from({ length: 50_000 }, (_, n) => n));
    await tail.close();
  });

  test('a record beyond the limit is rejected without filling memory', async () => {
    const dir = await folder();
    const handle = await openFile(at(`${dir}/a.jsonl`), 'w');
    await handle.write('{"n":1}\n{"x":"');
    for (let block = 0; block < 200; block += 1) await handle.write(Buffer.alloc(1 << 20, 'x'));
    await handle.write('"}\n{"n":2}\n');
    await handle.close();
    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)), 1);
    const read = await readOnce({ path: `${dir}/a.jsonl` });
    clearInterval(watch);
    expect(read.rows).toEqual([{ n: 1 }, { n: 2 }]);
    expect(read.refused).toMatchObject([{ code: 'ROW_TOO_LARGE', origin: { offset: '8' }, reason: expect.stringContaining(String(recordLimit)) }]);
    expect(read.refused[0]?.payload.length).toBe(65536);
    expect(peak).toBeLessThan(100 << 20);
  });

  test('bytes of a batch stay near the bound', async () => {
    const dir = await folder();
    await writeFile(at(`${dir}/a.jsonl`), `{"x":"${'y'.repeat(990)}"}\n`.repeat(5000));
    const read = await readOnce({ path: `${dir}/a.jsonl` }, {}, { maxRows: 100_000, maxBytes: 100_000 });
    expect(read.rows).toHaveLength(5000);
    expect(Math.max(...read.batches.map((batch) => batch.bytes))).toBeLessThanOrEqual(101_000);
    expect(read.batches.length).toBeLessThan(70);
  });

  test('origins name path and offset across files', async () => {
    const dir = await folder();
    await writeFile(at(`${dir}/a.jsonl`), '\n{"n":1}\n{"n":2}\n');
    await writeFile(at(`${dir}/b.csv`), 'x\n1\n');
    await writeFile(at(`${dir}/c.jsonl.gz`), gzipSync('{}\n{"n":1}\n'));
    const { batches } = await readOnce({ path: `${dir}/*` });
    expect(batches).toHaveLength(1);
    expect([0, 1, 2, 3, 4].map((index) => batches[0]?.originOf(index))).toEqual([
      { path: `${dir}/a.jsonl`, offset: '1' },
      { path: `${dir}/a.jsonl`, offset: '9' },
      { path: `${dir}/b.csv`, offset: '2' },
      { path: `${dir}/c.jsonl.gz`, record: 1 },
      { path: `${dir}/c.jsonl.gz`, record: 2 },
    ]);
  });

  test('a wrong encoding is named', async () => {
    const dir = await folder();
    await writeFile(at(`${dir}/a.jsonl`), Buffer.from('\ufeff{"a":1}\n', 'utf16le'));
    await expect(readOnce({ path: `${dir}/a.jsonl` })).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('byte order mark') });
    expect((await readOnce({ path: `${dir}/a.jsonl`, encoding: 'utf-16le' })).rows).toEqual([{ a: 1 }]);
  });
});

describe('confinement', () => {
  test('no path leads out of the root', async () => {
    const dir = await folder();
    await symlink('/etc', at(`${dir}/etc`));
    await symlink('/etc/passwd', at(`${dir}/p.jsonl`));
    await symlink(at(dir), at(`${dir}/inside`));
    await writeFile(at(`${dir}/a.jsonl`), '{"a":1}\n');
    for (const bad of ['../x.jsonl', `${dir}/../../x.jsonl`, '/etc/passwd', `${dir}/etc/passwd`, `${dir}/etc/*`, `${dir}/p.jsonl`, `${dir}/*.jsonl`, 'a\0b'])
      await expect(readOnce({ path: bad }), bad).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('leads out') });
    expect((await readOnce({ path: `${dir}/inside/a.jsonl` })).rows).toEqual([{ a: 1 }]);
  });

  test('without a root the setting is named', async () => {
    connectorSettings.fileRoot = null;
    try {
      await expect(open({ path: 'a.jsonl' })).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('CONNECTOR_FILE_ROOT') });
    } finally {
      connectorSettings.fileRoot = root;
    }
  });
});

test('a preview of a large file reads only its end', async () => {
  const dir = await folder();
  const lines = Array.from({ length: 100_000 }, (_, n) => `{"n":${n},"pad":"${'x'.repeat(40)}"}\n`);
  await writeFile(at(`${dir}/a.jsonl`), lines.join(''));
  const rows = await fileSource.sample(sourceConfig.parse({ path: `${dir}/a.jsonl` }), { ...context, limit: 3 });
  expect(rows.map((row) => row.n)).toEqual([99_999, 99_998, 99_997]);
});
