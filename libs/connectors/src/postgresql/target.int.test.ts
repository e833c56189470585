import { spawn } from 'node:child_process';
import { once } from 'node:events';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type OpKind } from '@tributary/contracts/ops';
import type { Column, ColumnType, Row, Value } from '@tributary/contracts/types';
import { freshDatabase, uniqueName, type FreshDatabase } from '@tributary/devstack/testing';
import { targetConfig, type ConnectionConfig } from './config.ts';
import { postgresqlTarget } from './target.ts';

let database: FreshDatabase;
let admin: pg.Client;
let config: ConnectionConfig;

beforeAll(async () => {
  database = await freshDatabase('postgres');
  admin = new pg.Client({ connectionString: database.url });
  admin.on('error', () => {});
  await admin.connect();
  const { hostname, port, username, password } = new URL(database.url);
  config = targetConfig.parse({ host: hostname, port, database: database.name, user: username, password: decodeURIComponent(password) });
});

afterAll(async () => {
  await admin.end();
  await database.drop();
});

const column = (name: string, kind: Exclude<ColumnType['kind'], 'DECIMAL'> | null, nullable = true): Column => ({
  name,
  type: kind === null ? null : { kind },
  nullable,
});
const idAndNote = [column('id', 'LONG', false), column('note', 'STRING')];
const log = { debug: () => {}, info: () => {}, warn: () => {} };

const open = async (table: string, more: Partial<OpenTargetContext> = {}): Promise<Target> => {
  const context: OpenTargetContext = {
    log,
    signal: AbortSignal.timeout(60_000),
    table,
    slot: { pipelineId: 'pipeline', subscriptionId: uniqueName('subscription'), slice: 0, slices: 1 },
    epoch: 1,
    columns: idAndNote,
    primaryKey: ['id'],
    errorTable: `${table}_errors`,
    ...more,
  };
  return postgresqlTarget.open(config, context);
};

const claimed = async (table: string, more: Partial<OpenTargetContext> = {}): Promise<Target> => {
  const target = await open(table, more);
  await target.claim();
  return target;
};

const deliver = (target: Target, rows: Row[], ops: OpKind[] | null = null) =>
  target.deliver({
    data: { kind: 'rows', rows, ops, originOf: (index) => ({ line: index }) },
    rejected: [],
    checkpoint: { position: { at: '1' }, counts: { ...noCounts, read: rows.length, mapped: rows.length, emitted: rows.length, written: rows.length } },
  });

const all = async (table: string, order = 'id'): Promise<Row[]> => (await admin.query<Row>(`select * from ${table} order by ${order}`)).rows;

test('a column of another type than the mapper declares is named, with what to do', async () => {
  await admin.query('create table conflict (id bigint primary key, note integer)');
  const target = await open('conflict');
  await expect(target.claim()).rejects.toMatchObject({
    code: 'SCHEMA_CONFLICT',
    message: expect.stringMatching(/"note" of table "public"."conflict" is integer, but the mapper declares STRING \(text\).*ALTER TABLE/) as string,
  });
  await target.close();
});

test('a key without a unique constraint on a filled table gives the statement to run; on an empty one it is made', async () => {
  await admin.query('create table filled (id bigint, note text); insert into filled values (1, null); create table empty (id bigint, note text)');
  const filled = await open('filled');
  await expect(filled.claim()).rejects.toMatchObject({
    code: 'SCHEMA_CONFLICT',
    message: expect.stringContaining('ALTER TABLE "public"."filled" ADD PRIMARY KEY ("id")') as string,
  });
  await filled.close();
  const empty = await claimed('empty');
  await deliver(empty, [{ id: 1, note: 'a' }]);
  await deliver(empty, [{ id: 1, note: 'b' }]);
  await empty.close();
  expect(await all('empty')).toEqual([{ id: '1', note: 'b' }]);
});

test('an existing unique constraint serves as the key, and columns the mapper lacks keep their defaults', async () => {
  await admin.query(
    `create table existing (number bigint generated always as identity primary key, id bigint not null unique, made text default 'by default', size integer not null default 7)`,
  );
  const target = await claimed('existing');
  await deliver(target, [
    { id: 1, note: 'a' },
    { id: 2, note: 'b' },
  ]);
  await deliver(target, [{ id: 2, note: 'c' }]);
  await target.close();
  expect(await all('existing')).toMatchObject([
    { id: '1', note: 'a', made: 'by default', size: 7 },
    { id: '2', note: 'c', made: 'by default', size: 7 },
  ]);
});

test('a generated column cannot be written and is named', async () => {
  await admin.query(`create table computed (id bigint primary key, note text generated always as ('x') stored)`);
  const target = await open('computed');
  await expect(target.claim()).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT', message: expect.stringContaining('"note"') as string });
  await target.close();
});

test('a NOT NULL column that nobody fills is named', async () => {
  await admin.query(`create table unfilled (id bigint primary key, note text, must text not null)`);
  const target = await open('unfilled');
  await expect(target.claim()).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT', message: expect.stringContaining('"must"') as string });
  await target.close();
});

test('rows that constraints, other keys, triggers and column types refuse are found among thousands', async () => {
  await admin.query(`create table strict (id bigint primary key, note text check (note <> 'checked'), email text unique, size smallint, at date);
    create function no_triggered() returns trigger language plpgsql as $$ begin if new.note = 'triggered' then raise exception 'not this one'; end if; return new; end $$;
    create trigger t before insert or update on strict for each row execute function no_triggered()`);
  const columns = [...idAndNote, column('email', 'STRING'), column('size', 'INT'), column('at', null)];
  const bad = new Map<number, Row>([
    [17, { id: 17, note: 'checked' }],
    [400, { id: 400, note: 'triggered' }],
    [1200, { id: 1200, note: 'x', email: 'e5@example.org' }],
    [2500, { id: 2500, note: 'x', size: 70_000 }],
    [2501, { id: 2501, note: 'x', at: 'not a date' }],
    [2999, { id: null, note: 'no key' }],
  ]);
  const rows = Array.from({ length: 3000 }, (_, id) => bad.get(id) ?? { id, note: `note ${id}`, email: `e${id}@example.org`, size: 1, at: '2024-01-31' });
  const target = await claimed('strict', { columns });
  const result = await deliver(target, rows);
  await target.close();
  expect(result.refused.map((row) => row.origin)).toEqual([17, 400, 1200, 2500, 2501, 2999].map((line) => ({ line })));
  expect(result.checkpoint.counts).toMatchObject({ emitted: 3000, written: 2994, refused: 6 });
  expect(result.refused.map((row) => row.reason)).toEqual([
    expect.stringContaining('strict_note_check') as string,
    expect.stringContaining('not this one') as string,
    expect.stringContaining('strict_email_key') as string,
    expect.stringContaining('70000') as string,
    expect.stringMatching(/"at".*not a date/) as string,
    'Key column "id" has no value.',
  ]);
  expect((await all('strict')).length).toBe(2994);
  expect((await all('strict_errors')).map((row) => row['payload'])).toContainEqual('{"id":2500,"note":"x","size":70000}');
});

test('a row nested deeper than JSON can be written of is refused alone', async () => {
  let deep: Value = 1;
  for (let depth = 0; depth < 12_000; depth++) deep = [deep];
  const target = await claimed('deep', { columns: [column('id', 'LONG', false), column('note', 'JSON')] });
  const { refused } = await deliver(target, [
    { id: 1, note: [1] },
    { id: 2, note: deep },
  ]);
  await target.close();
  expect(refused).toMatchObject([{ code: 'ROW_REFUSED', reason: expect.stringContaining('nested too deep') as string }]);
});

test('a batch of bad rows alone does not take for ever', async () => {
  const target = await claimed('all_bad', { columns: [column('id', 'LONG', false), column('at', 'NAIVE_DATE')] });
  const started = performance.now();
  const result = await deliver(
    target,
    Array.from({ length: 2000 }, (_, id) => ({ id, at: 'never' })),
  );
  await target.close();
  expect(result.refused.length).toBe(2000);
  expect(performance.now() - started).toBeLessThan(20_000);
});

test('appended rows that are refused are found too', async () => {
  await admin.query(`create table appended (id bigint, note text check (note <> 'checked'))`);
  const target = await claimed('appended', { primaryKey: [] });
  const result = await deliver(target, [
    { id: 1, note: 'a' },
    { id: 2, note: 'checked' },
    { id: 3, note: 'nul \0' },
    { id: 4, note: 'd' },
  ]);
  await target.close();
  expect(result.refused.map((row) => row.origin)).toEqual([{ line: 1 }, { line: 2 }]);
  expect(result.refused[1]?.reason).toContain('Column "note": the text holds a NUL');
  expect(await all('appended')).toEqual([
    { id: '1', note: 'a' },
    { id: '4', note: 'd' },
  ]);
});

test('a constraint that waits for the commit still names its row', async () => {
  await admin.query(`create table parent (id bigint primary key); insert into parent values (1), (3);
    create table child (id bigint primary key references parent deferrable initially deferred, note text)`);
  const target = await claimed('child');
  const result = await deliver(target, [{ id: 1 }, { id: 2 }, { id: 3 }]);
  await target.close();
  expect(result.refused.map((row) => row.origin)).toEqual([{ line: 1 }]);
  expect(await all('child')).toEqual([
    { id: '1', note: null },
    { id: '3', note: null },
  ]);
});

test('when the last op of a key is refused, the one before it stands', async () => {
  const target = await claimed('one_before');
  await deliver(target, [
    { id: 1, note: 'old' },
    { id: 2, note: 'old' },
  ]);
  const result = await deliver(
    target,
    [{ id: 1, note: 'good' }, { id: 1, note: 'bad \0' }, { id: 2 }, { id: 2, note: 'bad \0' }],
    ['upsert', 'upsert', 'delete', 'upsert'],
  );
  await target.close();
  expect(result.refused.map((row) => row.origin)).toEqual([{ line: 1 }, { line: 3 }]);
  expect(await all('one_before')).toEqual([{ id: '1', note: 'good' }]);
});

test('keys that only the server takes for one are written in order', async () => {
  await admin.query(`create collation if not exists anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`).catch(() => {});
  const [icu] = (await admin.query(`select 1 from pg_collation where collname = 'anycase'`)).rows as unknown[];
  await admin.query(
    icu === undefined
      ? `create table anycase_keys (id char(5) primary key, note text)`
      : `create table anycase_keys (id text collate anycase primary key, note text)`,
  );
  const target = await claimed('anycase_keys', { columns: [column('id', 'STRING', false), column('note', 'STRING')] });
  const [one, other] = icu === undefined ? ['a', 'a '] : ['a', 'A'];
  const result = await deliver(target, [
    { id: one, note: 'first' },
    { id: 'b', note: 'b' },
    { id: other, note: 'second' },
  ]);
  await target.close();
  expect(result.refused).toEqual([]);
  expect((await all('anycase_keys')).map((row) => row['note'])).toEqual(['second', 'b']);
});

test('new columns of the rows are made, with types that hold the values', async () => {
  const target = await claimed('grown', { columns: null, primaryKey: ['id'] });
  await deliver(target, [
    { id: 1, whole: 1, half: 1, big: 9_007_199_254_740_993n, mixed: 1 },
    { id: 2, whole: null, half: 2.5, big: 99_999_999_999_999_999_999n, mixed: 'text', list: [1, { a: 'b' }], bytes: new Uint8Array([1, 2]) },
  ]);
  await deliver(target, [
    { id: 3, later: true, '': 'no name' },
    { id: 4, later: false },
  ]);
  await target.close();
  const types = await admin.query<{ name: string; type: string }>(
    `select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = 'grown'::regclass and attnum > 0 order by attnum`,
  );
  expect(Object.fromEntries(types.rows.map((row) => [row.name, row.type]))).toEqual({
    id: 'bigint',
    whole: 'bigint',
    half: 'double precision',
    big: 'numeric',
    mixed: 'text',
    list: 'jsonb',
    bytes: 'bytea',
    later: 'boolean',
  });
  expect(await all('grown')).toMatchObject([
    { id: '1', mixed: '1', big: '9007199254740993' },
    { id: '2', big: '99999999999999999999', list: [1, { a: 'b' }] },
    { id: '4', later: false },
  ]);
  expect(await all('grown_errors')).toMatchObject([{ reason: expect.stringContaining('the name is empty') as string }]);
});

test('a column made from the first values widens when later ones need it; a column that others made does not', async () => {
  const target = await claimed('widened', { columns: [column('id', 'LONG', false), column('size', null), column('flag', null), column('name', null)] });
  await deliver(target, [{ id: 1, size: 9_007_199_254_740_993n, flag: true, name: 1 }]);
  await deliver(target, [{ id: 2, size: 0.5, flag: 'maybe', name: { first: 'a' } }]);
  await deliver(target, [{ id: 3, size: 7, flag: false, name: 'b' }]);
  await target.close();
  expect(await all('widened')).toEqual([
    { id: '1', size: '9007199254740993', flag: 'true', name: 1 },
    { id: '2', size: '0.5', flag: 'maybe', name: { first: 'a' } },
    { id: '3', size: '7', flag: 'false', name: 'b' },
  ]);
  await admin.query('create table fixed (id bigint primary key, size bigint)');
  const other = await claimed('fixed', { columns: [column('id', 'LONG', false), column('size', null)] });
  expect(
    (
      await deliver(other, [
        { id: 1, size: 0.5 },
        { id: 2, size: 2 },
      ])
    ).refused.length,
  ).toBe(1);
  await other.close();
});

test('half a surrogate pair is refused rather than replaced', async () => {
  const target = await claimed('surrogates');
  const result = await deliver(target, [
    { id: 1, note: 'ok 🚀' },
    { id: 2, note: 'broken \ud83d' },
  ]);
  await target.close();
  expect(result.refused.map((row) => row.reason)).toEqual([expect.stringContaining('Column "note": the text holds half a surrogate pair') as string]);
});

test('lists go into array columns, enums and uuids take text', async () => {
  await admin.query(`create type mood as enum ('calm', 'wild'); create table rich (id uuid primary key, tags text[], grid int[], mood mood, doc json)`);
  const columns = [column('id', 'STRING', false), column('tags', null), column('grid', 'JSON'), column('mood', 'STRING'), column('doc', 'JSON')];
  const target = await claimed('rich', { columns });
  const id = '5f0c1b1e-95a4-4a4e-8a47-3b5a4f3e2d1c';
  await deliver(target, [
    {
      id,
      tags: ['a "b"', 'c\\d', 'tab\t', '', null, 'NULL'],
      grid: [
        [1, 2],
        [3, 4],
      ],
      mood: 'wild',
      doc: 'just text',
    },
  ]);
  await target.close();
  expect(await all('rich')).toEqual([
    {
      id,
      tags: ['a "b"', 'c\\d', 'tab\t', '', null, 'NULL'],
      grid: [
        [1, 2],
        [3, 4],
      ],
      mood: 'wild',
      doc: 'just text',
    },
  ]);
});

test('an owner that stands still in the middle of a delivery is ended by its heir', async () => {
  const subscriptionId = uniqueName('subscription');
  const slot = { pipelineId: 'pipeline', subscriptionId, slice: 0, slices: 1 };
  const setup = await claimed('stopped', { slot, epoch: 1 });
  await deliver(setup, [{ id: 1, note: 'before' }]);
  await setup.close();
  // A process of its own that is stopped by a signal while its transaction holds locks on the row and on the checkpoint.
  const zombie = spawn(process.execPath, ['--input-type=module', '-e', zombieProgram], {
    env: { ...process.env, ZOMBIE_CONFIG: JSON.stringify({ config, slot }), ZOMBIE_TARGET: new URL('./target.ts', import.meta.url).href },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(zombie.stdout, 'data');
    await expect
      .poll(
        async () =>
          (await admin.query(`select 1 from pg_stat_activity where application_name like $1 and state <> 'idle'`, [`tributary ${subscriptionId}%`])).rowCount,
        { timeout: 20_000 },
      )
      .toBe(1);
    process.kill(zombie.pid ?? 0, 'SIGSTOP');
    const heir = await claimed('stopped', { slot, epoch: 3 });
    const started = performance.now();
    await deliver(heir, [{ id: 1, note: 'by the heir' }]);
    expect(performance.now() - started).toBeLessThan(5_000);
    process.kill(zombie.pid ?? 0, 'SIGCONT');
    const [code] = (await once(zombie, 'exit')) as [number];
    expect(code).toBe(42);
    await heir.close();
    expect(await all('stopped')).toEqual([{ id: '1', note: 'by the heir' }]);
  } finally {
    zombie.kill('SIGKILL');
  }
}, 60_000);

/** Delivers rows without end in one batch: the generator behind `rows` keeps the COPY open. Exits with 42 when it was fenced. */
const zombieProgram = `
const { config, slot } = JSON.parse(process.env.ZOMBIE_CONFIG);
const { postgresqlTarget } = await import(process.env.ZOMBIE_TARGET);
const log = { debug() {}, info() {}, warn() {} };
const columns = [{ name: 'id', type: { kind: 'LONG' }, nullable: false }, { name: 'note', type: { kind: 'STRING' }, nullable: true }];
const target = await postgresqlTarget.open(config, { log, signal: new AbortController().signal, table: 'stopped', slot, epoch: 2, columns, primaryKey: ['id'], errorTable: null });
await target.claim();
const rows = Array.from({ length: 3_000_000 }, (_, id) => ({ id, note: 'by the zombie' }));
console.log('delivering');
try {
  await target.deliver({ data: { kind: 'rows', rows, ops: null, originOf: () => ({}) }, rejected: [], checkpoint: { position: { at: '2' }, counts: {} } });
  process.exit(0);
} catch (error) {
  if (error.code !== 'FENCED') console.error(error);
  process.exit(error.code === 'FENCED' ? 42 : 1);
}
`;

test.for(['keyless', 'keyed'])('writers killed with SIGKILL lose nothing and double nothing: %s', { timeout: 120_000 }, async (name) => {
  const primaryKey = name === 'keyed' ? ['id'] : [];
  const table = `killed_${name}`;
  const wanted = 40_000;
  const slot = { pipelineId: 'pipeline', subscriptionId: uniqueName('subscription'), slice: 0, slices: 1 };
  let kills = 0;
  for (let epoch = 1, isDone = false; !isDone; epoch++) {
    const writer = spawn(process.execPath, ['--input-type=module', '-e', writerProgram], {
      env: {
        ...process.env,
        WRITER: JSON.stringify({ config, slot, epoch, table, wanted, primaryKey, target: new URL('./target.ts', import.meta.url).href }),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(writer, 'exit') as Promise<[number | null]>;
    await Promise.race([once(writer.stdout, 'data'), ended]);
    // After a moment of writing, at another point of a delivery each time; the last of them may finish.
    const killing = kills < 6 ? setTimeout(() => writer.kill('SIGKILL'), 20 + 37 * kills) : undefined;
    const [code] = await ended;
    clearTimeout(killing);
    if (code === null) kills++;
    else expect(code).toBe(0);
    isDone = code === 0;
  }
  expect(kills).toBeGreaterThan(1);
  const counted = await admin.query(`select count(*)::int as rows, count(distinct id)::int as ids, max(id)::int as last from ${table}`);
  expect(counted.rows).toEqual([{ rows: wanted, ids: wanted, last: wanted - 1 }]);
});

/** Writes rows 0 to `wanted` from where the checkpoint stands. */
const writerProgram = `
const { config, slot, epoch, table, wanted, primaryKey, target: module } = JSON.parse(process.env.WRITER);
const { postgresqlTarget } = await import(module);
const log = { debug() {}, info() {}, warn() {} };
const columns = [{ name: 'id', type: { kind: 'LONG' }, nullable: false }, { name: 'note', type: { kind: 'STRING' }, nullable: true }];
const target = await postgresqlTarget.open(config, { log, signal: new AbortController().signal, table, slot, epoch, columns, primaryKey, errorTable: null });
const { own } = await target.claim();
console.log('writing');
for (let from = Number(own?.position.next ?? 0); from < wanted; from += 100) {
  const rows = Array.from({ length: 100 }, (_, index) => ({ id: from + index, note: 'row ' + (from + index) }));
  await target.deliver({ data: { kind: 'rows', rows, ops: null, originOf: () => ({}) }, rejected: [], checkpoint: { position: { next: String(from + 100) }, counts: {} } });
}
await target.close();
`;

test('claims without a newer owner may be repeated, and the earlier one writes nothing more', async () => {
  const slot = { pipelineId: 'pipeline', subscriptionId: uniqueName('subscription'), slice: 0, slices: 1 };
  const first = await claimed('repeated', { slot });
  await deliver(first, [{ id: 1, note: 'first' }]);
  const second = await open('repeated', { slot });
  expect((await second.claim()).own?.position).toEqual({ at: '1' });
  await expect(deliver(first, [{ id: 2, note: 'late' }])).rejects.toMatchObject({ code: 'FENCED' });
  await deliver(second, [{ id: 3, note: 'second' }]);
  await first.close();
  await second.close();
  expect(await all('repeated')).toEqual([
    { id: '1', note: 'first' },
    { id: '3', note: 'second' },
  ]);
});

test('an owner of an older layout cannot come back with a position that is behind', async () => {
  const subscriptionId = uniqueName('subscription');
  const whole = { pipelineId: 'pipeline', subscriptionId, slice: 0, slices: 1 };
  const before = await claimed('layouts', { slot: whole, epoch: 1 });
  await deliver(before, [{ id: 1 }]);
  await before.close();
  const half = await claimed('layouts', { slot: { ...whole, slices: 2 }, epoch: 1 });
  await deliver(half, [{ id: 2 }]);
  await half.close();
  const again = await open('layouts', { slot: whole, epoch: 2 });
  const { own, others } = await again.claim();
  await again.close();
  expect(own).toBeNull();
  expect(others.length).toBe(2);
});

test('a user without the right to create tables is told which', async () => {
  const user = uniqueName('reader');
  await admin.query(`create role ${user} login password 'secret'`);
  try {
    const steps = await postgresqlTarget.check({ ...config, user, password: 'secret' }, { log, signal: AbortSignal.timeout(10_000) });
    expect(steps.at(-1)).toMatchObject({ name: 'permissions', ok: false, message: expect.stringContaining('GRANT CREATE ON SCHEMA "public"') as string });
  } finally {
    await admin.query(`drop role ${user}`);
  }
});

test('an aborted target gives up at once', async () => {
  const abort = new AbortController();
  const target = await claimed('aborted', { signal: abort.signal });
  await admin.query('begin');
  await admin.query('lock table aborted');
  const delivery = deliver(target, [{ id: 1 }]);
  setTimeout(() => abort.abort(new Error('Given up.')), 100);
  await expect(delivery).rejects.toThrow('Given up.');
  await admin.query('rollback');
  await target.close();
});
