import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OpenSourceContext, Reader, Source } from '@tributary/connector-sdk/source';
import type { Position, RowBatch } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { testServers, uniqueName } from '@tributary/devstack/testing';
import { sourceConfig } from './config.ts';
import { ownServer } from './server.fixture.ts';
import { redisSource } from './source.ts';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(testServers().redis);
});
afterAll(() => redis.disconnect());

const context = { log: { debug: () => undefined, info: () => undefined, warn: () => undefined }, signal: AbortSignal.timeout(120_000) };

const open = (stream: string, more: Partial<OpenSourceContext> = {}, settings: Record<string, unknown> = {}): Promise<Source> =>
  redisSource.open(sourceConfig.parse({ url: testServers().redis, stream, ...settings }), {
    ...context,
    stream: null,
    consumerId: 'c',
    slice: 0,
    slices: 1,
    mode: 'once',
    backfill: true,
    startedAt: new Date(),
    ...more,
  });

const batchesOf = async (source: Source, from: Position, limits: { maxRows?: number; maxBytes?: number } = {}): Promise<RowBatch[]> => {
  const reader = source.read(from, { format: 'rows', maxRows: 1_000, maxBytes: 1 << 20, ...limits });
  const batches: RowBatch[] = [];
  for (;;) {
    const batch = await reader.next(context.signal);
    if (batch === 'end') return batches;
    if (batch !== 'idle') batches.push(batch as RowBatch);
  }
};

const rowsOf = (batches: readonly RowBatch[]): Row[] => batches.flatMap((batch) => batch.rows);

/** Reads a stream from a position to its end, in a source of its own. */
const rest = async (stream: string, from: Position, settings: Record<string, unknown> = {}): Promise<{ rows: Row[]; position: Position }> => {
  const source = await open(stream, {}, settings);
  try {
    const batches = await batchesOf(source, from);
    return { rows: rowsOf(batches), position: batches.at(-1)?.position ?? from };
  } finally {
    await source.close();
  }
};

const numbers = async (stream: string, first: number, count: number): Promise<void> => {
  const pipeline = redis.pipeline();
  for (let n = first; n < first + count; n++) pipeline.xadd(stream, '*', 'n', n);
  await pipeline.exec();
};

const range = (first: number, count: number): Row[] => Array.from({ length: count }, (_, index) => ({ n: String(first + index) }));

test('fields are columns: text, or bytes where they are no UTF-8; the operation field tells deletes', async () => {
  const stream = uniqueName('fields');
  await redis.xadd(stream, '5-1', 'a', 'ünï 🚀', 'b', Buffer.from([0xff, 0]), '', 'no name', '__proto__', 'x');
  await redis.xadd(stream, '5-2', '_op', 'delete', 'a', '1');
  await redis.xadd(stream, '5-3', '_op', 'create', 'a', '2');
  await redis.xadd(stream, '5-4', '_op', 'upsert', 'a', '3');
  const source = await open(stream, {}, { include_metadata: true });
  const [batch] = await batchesOf(source, await source.firstPosition());
  await source.close();
  expect(batch?.rows.map(({ _redis, ...row }) => row)).toEqual([
    Object.fromEntries([
      ['a', 'ünï 🚀'],
      ['b', new Uint8Array([0xff, 0])],
      ['', 'no name'],
      ['__proto__', 'x'],
    ]),
    { a: '1' },
    { a: '3' },
  ]);
  expect(batch?.ops).toEqual(['upsert', 'delete', 'upsert']);
  expect(batch?.rows[1]?.['_redis']).toEqual({ stream, id: '5-2', timestamp: null });
  expect(batch?.originOf(2)).toEqual({ stream, id: '5-4' });
  expect(batch?.unreadable).toEqual([
    { code: 'ROW_UNREADABLE', reason: expect.stringContaining('"create"') as string, payload: '{"_op":"create","a":"2"}', origin: { stream, id: '5-3' } },
  ]);
  expect(batch?.position).toEqual({ [stream]: '5-4@4' });
  expect((await rest(stream, {}, { operation_field: '' })).rows[2]).toEqual({ _op: 'create', a: '2' });
});

test('a JSON field is the whole row, and keeps its digits', async () => {
  const stream = uniqueName('json');
  for (const text of ['{"id":9007199254740993,"amount":12345678901234567890.12}', '{"half', '[1]', 'null'])
    await redis.xadd(stream, '*', 'row', text, 'other', '1');
  await redis.xadd(stream, '*', 'other', '1');
  await redis.xadd(stream, '*', 'row', Buffer.from([0xff]));
  const source = await open(stream, {}, { json_field: 'row' });
  const [batch] = await batchesOf(source, await source.firstPosition());
  await source.close();
  expect(batch?.rows).toEqual([{ id: 9_007_199_254_740_993n, amount: '12345678901234567890.12' }]);
  expect(batch?.unreadable.map(({ reason }) => reason)).toEqual([
    expect.stringContaining('is not JSON') as string,
    expect.stringContaining('no object') as string,
    expect.stringContaining('no object') as string,
    'The entry has no field "row".',
    expect.stringContaining('not UTF-8') as string,
  ]);
});

test('streams of a pattern are read together, each by one slice, and new ones from their beginning', async () => {
  const prefix = uniqueName('many');
  for (const part of 'abcdefg') await numbers(`${prefix}:${part}`, 0, 30);
  await redis.hset(`${prefix}:hash`, 'not', 'a stream');
  const seen: string[] = [];
  for (const slice of [0, 1, 2]) {
    const source = await open(`${prefix}:*`, { slice, slices: 3 }, { include_metadata: true });
    const first = await source.firstPosition();
    for (const { _redis } of rowsOf(await batchesOf(source, first, { maxRows: 7 }))) seen.push((_redis as { stream: string }).stream);
    await source.close();
  }
  expect(seen.length).toBe(210);
  expect(new Set(seen).size).toBe(7);

  const source = await open(`${prefix}:*`, { mode: 'continuous', backfill: false });
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
  expect(await reader.next(context.signal)).toBe('idle');
  await numbers(`${prefix}:new`, 100, 5);
  expect(await someRows(reader, 5)).toEqual(range(100, 5));
  await redis.del(`${prefix}:a`);
  await numbers(`${prefix}:b`, 200, 1);
  expect(await nextRows(reader)).toEqual(range(200, 1));
  await source.close();
}, 30_000);

/** The next rows of a reader, so many. */
const someRows = async (reader: Reader, count: number): Promise<Row[]> => {
  const rows: Row[] = [];
  while (rows.length < count) rows.push(...(await nextRows(reader)));
  return rows;
};

const nextRows = async (reader: Reader): Promise<Row[]> => {
  for (;;) {
    const batch = await reader.next(context.signal);
    if (batch === 'end') throw new Error('The source ended.');
    if (batch !== 'idle') return (batch as RowBatch).rows;
  }
};

test('a run that ends leaves what is added meanwhile to the next', async () => {
  const stream = uniqueName('ends');
  await numbers(stream, 0, 250);
  const source = await open(stream);
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
  expect(await nextRows(reader)).toEqual(range(0, 16));
  await numbers(stream, 250, 100);
  const rows: Row[] = [];
  let position: Position = {};
  for (let batch = await reader.next(context.signal); batch !== 'end'; batch = await reader.next(context.signal)) {
    if (batch === 'idle') continue;
    rows.push(...(batch as RowBatch).rows);
    position = batch.position;
  }
  await source.close();
  expect(rows).toEqual(range(16, 234));
  expect((await rest(stream, position)).rows).toEqual(range(250, 100));
});

test('batches are bounded in rows and bytes, and one larger entry makes a batch of its own', async () => {
  const stream = uniqueName('bounded');
  for (const size of [10, 10, 50_000, 10, 10]) await redis.xadd(stream, '*', 'text', 'x'.repeat(size));
  const source = await open(stream);
  const batches = await batchesOf(source, await source.firstPosition(), { maxBytes: 10_000 });
  await source.close();
  expect(batches.map(({ rows }) => rows.length)).toEqual([2, 1, 2]);
});

test('a position whose next entries were trimmed is lost, one whose own entry was trimmed is not', async () => {
  const stream = uniqueName('trimmed');
  await numbers(stream, 0, 100);
  const source = await open(stream);
  const batches = await batchesOf(source, await source.firstPosition(), { maxRows: 10 });
  await source.close();
  const middle = batches[0]?.position ?? {};
  await redis.xtrim(stream, 'MAXLEN', 90);
  expect((await rest(stream, middle)).rows).toEqual(range(10, 90));
  await redis.xtrim(stream, 'MAXLEN', 89);
  await expect(rest(stream, middle)).rejects.toMatchObject({ code: 'POSITION_LOST', message: expect.stringContaining('1 unread entries') as string });
  expect((await rest(stream, {})).rows).toEqual(range(11, 89));
  await redis.xtrim(stream, 'MAXLEN', 0);
  const end = batches.at(-1)?.position ?? {};
  expect((await rest(stream, end)).rows).toEqual([]);
  await numbers(stream, 100, 3);
  expect((await rest(stream, end)).rows).toEqual(range(100, 3));
});

test('a reader that falls behind the trimming says so at once', async () => {
  const stream = uniqueName('behind');
  await numbers(stream, 0, 200);
  const source = await open(stream, { mode: 'continuous' });
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 50, maxBytes: 1 << 20 });
  expect(await someRows(reader, 66)).toEqual(range(0, 66));
  await redis.xtrim(stream, 'MAXLEN', 20);
  const failure = (async () => {
    for (;;) await nextRows(reader);
  })();
  await expect(failure).rejects.toMatchObject({ code: 'POSITION_LOST' });
  await source.close();
});

test('entries that others deleted are no loss', async () => {
  const stream = uniqueName('holes');
  await numbers(stream, 0, 20);
  const source = await open(stream);
  const [batch] = await batchesOf(source, await source.firstPosition(), { maxRows: 10 });
  await source.close();
  const entries = await redis.xrange(stream, '-', '+');
  await redis.xdel(stream, ...entries.slice(5, 15).map(([id]) => id));
  expect((await rest(stream, batch?.position ?? {})).rows).toEqual(range(15, 5));
});

test('a stream that was made anew is told from the old one', async () => {
  const stream = uniqueName('anew');
  await numbers(stream, 0, 20);
  const { position } = await rest(stream, {});
  await redis.del(stream);
  await expect(rest(stream, position)).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  await numbers(stream, 0, 5);
  await expect(rest(stream, position)).rejects.toMatchObject({ code: 'POSITION_LOST' });
  await redis.del(stream);
  await redis.xadd(stream, '1-1', 'n', '0');
  await expect(rest(stream, position)).rejects.toMatchObject({ code: 'POSITION_LOST' });
});

test('a subscription begins with the time it was asked for, also in a stream that came later', async () => {
  const stream = uniqueName('started');
  await numbers(stream, 0, 5);
  await sleep(2);
  const startedAt = new Date();
  await numbers(stream, 5, 5);
  const source = await open(stream, { backfill: false, startedAt });
  const first = await source.firstPosition();
  expect(first[stream]).toBe(`${startedAt.getTime() - 1}-18446744073709551615`);
  expect(rowsOf(await batchesOf(source, first))).toEqual(range(5, 5));
  await source.close();

  const counted = uniqueName('counted');
  await redis.xadd(counted, '1-0', 'n', '0');
  const other = await open(counted, { backfill: false, startedAt });
  expect(await other.firstPosition()).toEqual({ [counted]: '1-0@1' });
  await other.close();
});

test('lag counts what is left', async () => {
  const stream = uniqueName('lag');
  await numbers(stream, 0, 100);
  const source = await open(stream);
  const first = await source.firstPosition();
  expect(await source.lag?.(first)).toBe(100);
  const batches = await batchesOf(source, first, { maxRows: 16 });
  const lags = [];
  for (const { position } of batches) lags.push(await source.lag?.(position));
  expect(lags).toEqual([84, 68, 52, 36, 20, 4, 0]);
  await source.close();
});

test('goes on when the server is killed and comes back', async () => {
  const server = await ownServer({ appendonly: 'yes', appendfsync: 'always' });
  const client = new Redis(server.url);
  client.on('error', () => undefined);
  const source = await open('numbers', { mode: 'continuous' }, { url: server.url });
  try {
    for (let n = 0; n < 10; n++) await client.xadd('numbers', '*', 'n', n);
    const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
    expect(await nextRows(reader)).toEqual(range(0, 10));
    const next = nextRows(reader);
    await server.crash();
    await client.xadd('numbers', '*', 'n', 10);
    expect(await next).toEqual(range(10, 1));
  } finally {
    await source.close();
    client.disconnect();
    await server.stop();
  }
}, 30_000);

test('a key that holds something else is named', async () => {
  const key = uniqueName('hash');
  await redis.hset(key, 'a', 1);
  const source = await open(key);
  await expect(source.firstPosition()).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('hash') as string });
  await source.close();
});

test('a cluster is refused', async () => {
  const server = await ownServer({ 'cluster-enabled': 'yes' });
  try {
    await expect(open('x', {}, { url: server.url })).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('cluster') as string });
  } finally {
    await server.stop();
  }
});
