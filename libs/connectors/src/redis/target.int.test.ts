import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeliveryResult, OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type OpKind, type Slot } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { testServers, uniqueName } from '@tributary/devstack/testing';
import { targetConfig } from './config.ts';
import { ownServer } from './server.fixture.ts';
import { redisTarget } from './target.ts';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(testServers().redis);
});
afterAll(() => redis.disconnect());

const context = { log: { debug: () => undefined, info: () => undefined, warn: () => undefined }, signal: AbortSignal.timeout(120_000) };

const newSlot = (): Slot => ({ pipelineId: 'p', subscriptionId: randomBytes(12).toString('hex'), slice: 0, slices: 1 });

const open = (table: string, more: Partial<OpenTargetContext> = {}, settings: Record<string, unknown> = {}): Promise<Target> =>
  redisTarget.open(targetConfig.parse({ url: testServers().redis, ...settings }), {
    ...context,
    table,
    slot: newSlot(),
    epoch: 1,
    columns: null,
    primaryKey: ['id'],
    errorTable: null,
    ...more,
  });

const claimed = async (...args: Parameters<typeof open>): Promise<Target> => {
  const target = await open(...args);
  await target.claim();
  return target;
};

const deliver = (target: Target, rows: readonly Row[], at: string, ops: readonly OpKind[] | null = null): Promise<DeliveryResult> =>
  target.deliver({
    data: { kind: 'rows', rows, ops, originOf: (index) => ({ line: index }) },
    rejected: [],
    checkpoint: { position: { at }, counts: { ...noCounts, read: rows.length, mapped: rows.length, emitted: rows.length, written: rows.length } },
  });

const entriesOf = async (stream: string, from = redis): Promise<string[][]> => (await from.xrange(stream, '-', '+')).map(([, fields]) => fields);

test('an entry says what was done; JSON goes into one field when asked to', async () => {
  const table = uniqueName('entries');
  const rows: Row[] = [{ id: 1, note: 'a', none: null, big: 9_007_199_254_740_993n, bytes: new Uint8Array([1, 2]), list: [1, { a: 2n }] }, { id: 1 }];
  const plain = await claimed(table);
  await deliver(plain, rows, '2', ['upsert', 'delete']);
  await plain.close();
  expect(await entriesOf(table)).toEqual([
    ['_op', 'upsert', 'id', '1', 'note', 'a', 'big', '9007199254740993', 'bytes', 'AQI=', 'list', '[1,{"a":2}]'],
    ['_op', 'delete', 'id', '1'],
  ]);
  const json = await claimed(`${table}_json`, {}, { json_field: 'row' });
  await deliver(json, rows, '2', ['upsert', 'delete']);
  await json.close();
  expect(await entriesOf(`${table}_json`)).toEqual([
    ['_op', 'upsert', 'row', '{"id":1,"note":"a","none":null,"big":9007199254740993,"bytes":"AQI=","list":[1,{"a":2}]}'],
    ['_op', 'delete', 'row', '{"id":1}'],
  ]);
});

test('streams are kept to a length when asked to, the error stream is not', async () => {
  const table = uniqueName('short');
  const target = await claimed(table, { errorTable: `${table}_errors` }, { max_length: 500, key_prefix: 'pre:' });
  for (let at = 0; at < 20; at++)
    await deliver(
      target,
      Array.from({ length: 200 }, (_, n) => (n < 50 ? { id: null } : { id: n })),
      `${at}`,
    );
  await target.close();
  const length = await redis.xlen(`pre:${table}`);
  expect(length).toBeGreaterThanOrEqual(500);
  expect(length).toBeLessThan(1_000);
  expect(await redis.xlen(`pre:${table}_errors`)).toBe(1_000);
});

test('what cannot be written is refused alone', async () => {
  const table = uniqueName('refused');
  await redis.set(`${table}:3`, 'somebody’s own');
  const target = await claimed(table, { errorTable: `${table}_errors` }, { write_as: 'hashes' });
  const wide = Object.fromEntries(Array.from({ length: 4_000 }, (_, column) => [`c${column}`, 1]));
  const rows: Row[] = [
    { id: 1, note: 'a' },
    { id: null },
    { id: 3 },
    { ...wide, id: 4 },
    { id: '\ud83d' },
    { id: 6, note: 'x'.repeat(65 * 1024 * 1024) },
    { id: 7 },
  ];
  const { refused, checkpoint } = await deliver(target, rows, '7');
  await target.close();
  expect(refused.map(({ code, origin }) => [code, origin['line']])).toEqual([
    ['ROW_REFUSED', 1],
    ['ROW_REFUSED', 2],
    ['ROW_REFUSED', 3],
    ['ROW_REFUSED', 4],
    ['ROW_TOO_LARGE', 5],
  ]);
  expect(checkpoint.counts).toMatchObject({ written: 2, refused: 5 });
  expect((await redis.keys(`${table}:*`)).sort()).toEqual([`${table}:1`, `${table}:3`, `${table}:7`]);
  expect(await redis.get(`${table}:3`)).toBe('somebody’s own');
  expect(await redis.xlen(`${table}_errors`)).toBe(5);
});

test('rows with 3000 columns, and deliveries of 20,000 rows, go through', async () => {
  const table = uniqueName('large');
  const target = await claimed(table);
  await deliver(target, [Object.fromEntries([['id', 0], ...Array.from({ length: 3_000 }, (_, column) => [`c${column}`, column])])], '1');
  await deliver(
    target,
    Array.from({ length: 20_000 }, (_, id) => ({ id, note: 'x' })),
    '2',
  );
  await target.close();
  expect(await redis.xlen(table)).toBe(20_001);
});

test('a key that holds something else is not written over', async () => {
  const table = uniqueName('taken');
  const target = await claimed(table);
  await redis.set(table, 'mine');
  await expect(deliver(target, [{ id: 1 }], '1')).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT' });
  await target.close();
  const other = await open(table);
  await expect(other.claim()).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT', message: expect.stringContaining(table) as string });
  await other.close();
  await expect(open(uniqueName('keyless'), { primaryKey: [] }, { write_as: 'hashes' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test('claims without a newer owner may be repeated, and the earlier one writes nothing more', async () => {
  const [table, slot] = [uniqueName('repeated'), newSlot()];
  const first = await claimed(table, { slot });
  await deliver(first, [{ id: 1 }], '1');
  const second = await open(table, { slot });
  expect((await second.claim()).own?.position).toEqual({ at: '1' });
  await expect(deliver(first, [{ id: 2 }], '2')).rejects.toMatchObject({ code: 'FENCED' });
  await deliver(second, [{ id: 3 }], '3');
  await first.close();
  await second.close();
  expect(await entriesOf(table)).toEqual([
    ['_op', 'upsert', 'id', '1'],
    ['_op', 'upsert', 'id', '3'],
  ]);
});

test('an owner of an older layout comes back with a newer epoch only, and not with a position that is behind', async () => {
  const [table, slot] = [uniqueName('layouts'), newSlot()];
  const whole = await claimed(table, { slot });
  await deliver(whole, [{ id: 1 }], '1');
  const half = await claimed(table, { slot: { ...slot, slices: 2 } });
  await deliver(half, [{ id: 2 }], '2');
  const same = await open(table, { slot });
  await expect(same.claim()).rejects.toMatchObject({ code: 'FENCED' });
  await deliver(half, [{ id: 3 }], '3');
  const again = await open(table, { slot, epoch: 2 });
  const { own, others } = await again.claim();
  expect(own).toBeNull();
  expect(new Set(others.map(({ position }) => position['at']))).toEqual(new Set(['1', '3']));
  await deliver(again, [{ id: 4 }], '4');
  await expect(deliver(half, [{ id: 5 }], '5')).rejects.toMatchObject({ code: 'FENCED' });
  for (const target of [whole, half, same, again]) await target.close();
  expect(await redis.xlen(table)).toBe(4);
});

test('a server that forgot the scripts is sent them again', async () => {
  const table = uniqueName('flushed');
  const target = await claimed(table);
  await deliver(target, [{ id: 1 }], '1');
  await redis.script('FLUSH');
  await deliver(target, [{ id: 2 }], '2');
  await target.close();
  expect(await redis.xlen(table)).toBe(2);
});

test('a user who may not write there is told so, and nothing is written', async () => {
  const user = uniqueName('user');
  await redis.call('ACL', 'SETUSER', user, 'on', '>secret', '~allowed:*', '+@all');
  const { hostname: host, port } = new URL(testServers().redis);
  const asUser = { url: null, host, port, username: user, password: 'secret' };
  try {
    const steps = await redisTarget.check(targetConfig.parse(asUser), context);
    expect(steps.at(-1)).toMatchObject({ name: 'write', ok: false });
    const table = uniqueName('denied');
    await expect(claimed(table, {}, asUser)).rejects.toMatchObject({ code: 'PERMISSION_MISSING' });
    const allowed = await claimed(table, {}, { ...asUser, key_prefix: 'allowed:' });
    await deliver(allowed, [{ id: 1 }], '1');
    await allowed.close();
    expect(await redis.xlen(`allowed:${table}`)).toBe(1);
  } finally {
    await redis.call('ACL', 'DELUSER', user);
  }
});

test('the connection test tells how durable the server is', async () => {
  const server = await ownServer({ appendonly: 'yes', appendfsync: 'always' });
  const client = new Redis(server.url);
  const durability = async () => (await redisTarget.check(targetConfig.parse({ url: server.url }), context)).find(({ name }) => name === 'durability');
  try {
    expect(await durability()).toMatchObject({ ok: true, message: expect.stringContaining('appendfsync always') as string });
    await client.config('SET', 'appendfsync', 'everysec');
    expect(await durability()).toMatchObject({ ok: true, message: expect.stringContaining('last second') as string });
    await client.config('SET', 'appendonly', 'no');
    expect(await durability()).toMatchObject({ ok: true, message: expect.stringContaining('No append-only file') as string });
    const waiting = await claimed('waiting', {}, { url: server.url, wait_for_fsync: true });
    await expect(deliver(waiting, [{ id: 1 }], '1')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await client.config('SET', 'appendonly', 'yes');
    // The first file is written by a process of its own.
    await expect.poll(async () => /aof_rewrite_in_progress:0/.test(await client.info('persistence'))).toBe(true);
    await deliver(waiting, [{ id: 2 }], '2');
    await waiting.close();
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    expect(await durability()).toMatchObject({ ok: false, message: expect.stringContaining('noeviction') as string });
    await expect(claimed('evicting', {}, { url: server.url })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  } finally {
    client.disconnect();
    await server.stop();
  }
});

test('a server without memory takes nothing, and all once it has some', async () => {
  const server = await ownServer({});
  const client = new Redis(server.url);
  try {
    const target = await claimed('full', {}, { url: server.url });
    await client.config('SET', 'maxmemory', '1');
    await expect(deliver(target, [{ id: 1 }, { id: 2 }], '2')).rejects.toMatchObject({
      code: 'TARGET_FAILED',
      message: expect.stringContaining('memory') as string,
    });
    await client.config('SET', 'maxmemory', '0');
    expect(await client.exists('full')).toBe(0);
    await deliver(target, [{ id: 1 }, { id: 2 }], '2');
    await target.close();
    expect(await client.xlen('full')).toBe(2);
  } finally {
    client.disconnect();
    await server.stop();
  }
});

test('a server killed in the middle has the rows of every checkpoint it has, and no others', async () => {
  const server = await ownServer({ appendonly: 'yes', appendfsync: 'everysec' });
  try {
    const slot = newSlot();
    for (let epoch = 1; epoch <= 4; epoch++) {
      const target = await open('killed', { slot, epoch, primaryKey: [] }, { url: server.url });
      const from = Number((await target.claim()).own?.position['at'] ?? 0);
      const client = new Redis(server.url);
      if (epoch > 1) expect(from).toBeGreaterThan(0);
      expect((await entriesOf('killed', client)).map((fields) => Number(fields[3]))).toEqual(Array.from({ length: from }, (_, id) => id));
      client.disconnect();
      const writing = (async (): Promise<never> => {
        for (let at = from; ; at += 500)
          await deliver(
            target,
            Array.from({ length: 500 }, (_, n) => ({ id: at + n })),
            `${at + 500}`,
          );
      })();
      const broken = expect(writing).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' });
      await new Promise((resolve) => setTimeout(resolve, 40 + 30 * epoch));
      await server.crash();
      await broken;
      await target.close();
    }
  } finally {
    await server.stop();
  }
}, 60_000);

test('an aborted target gives up at once', async () => {
  const abort = new AbortController();
  const target = await claimed(uniqueName('aborted'), { signal: abort.signal });
  abort.abort(new Error('Given up.'));
  await expect(deliver(target, [{ id: 1 }], '1')).rejects.toThrow('Given up.');
  await target.close();
});

/** Runs the copier until it has committed `commits` more times, then kills it without warning. */
const copyUntil = async (input: string, output: string, slot: Slot, epoch: number, writeAs: string, commits: number): Promise<'killed' | 'finished'> => {
  const child: ChildProcess = fork(
    new URL('./copier.fixture.ts', import.meta.url),
    [testServers().redis, input, output, JSON.stringify(slot), String(epoch), writeAs],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  );
  let seen = 0;
  child.on('message', () => {
    seen++;
    if (seen >= commits) child.kill('SIGKILL');
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0 ? 'finished' : 'killed';
};

test.for(['stream', 'hashes'])('a worker killed at any moment is replaced with no row lost or doubled: %s', { timeout: 120_000 }, async (writeAs) => {
  const total = 20_000;
  const [input, output, slot] = [uniqueName('input'), uniqueName('copied'), newSlot()];
  const pipeline = redis.pipeline();
  for (let id = 0; id < total; id++) pipeline.xadd(input, '*', 'id', id);
  await pipeline.exec();
  let kills = 0;
  for (let epoch = 1; epoch < 20; epoch++) {
    if ((await copyUntil(input, output, slot, epoch, writeAs, kills < 6 ? 2 + epoch : Number.POSITIVE_INFINITY)) === 'finished') break;
    kills++;
  }
  expect(kills).toBe(6);
  if (writeAs === 'stream') {
    expect((await entriesOf(output)).map((fields) => Number(fields[3]))).toEqual(Array.from({ length: total }, (_, id) => id));
    return;
  }
  const found = new Set<string>();
  for (let cursor = ''; cursor !== '0';) {
    const [next, keys] = await redis.scan(cursor === '' ? '0' : cursor, 'MATCH', `${output}:*`, 'COUNT', 10_000);
    for (const key of keys) found.add(key);
    cursor = next;
  }
  expect(found.size).toBe(total);
});
