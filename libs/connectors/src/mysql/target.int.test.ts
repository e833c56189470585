import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OpenTargetContext, Target } from '@tributary/connector-sdk/target';
import { noCounts, type OpKind } from '@tributary/contracts/ops';
import type { Column, ColumnType, Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { startMariadb, type Mariadb } from '@tributary/devstack/mariadb';
import { uniqueName } from '@tributary/devstack/testing';
import { targetConfig, type ConnectionConfig } from './config.ts';
import { configOf } from './conformance.ts';
import { openSession, type Session } from './connect.ts';
import { mysqlTarget } from './target.ts';

let server: Mariadb;
let admin: Session;
let config: ConnectionConfig;

const connectAdmin = () => openSession(config, { side: 'target', signal: new AbortController().signal });

beforeAll(async () => {
  server = await startMariadb();
  config = targetConfig.parse(configOf(server.url));
  admin = await connectAdmin();
}, 120_000);

afterAll(async () => {
  await admin.close();
  await server.stop();
});

const column = (name: string, kind: Exclude<ColumnType['kind'], 'DECIMAL'> | null, nullable = true): Column => ({
  name,
  type: kind === null ? null : { kind },
  nullable,
});
const idAndNote = [column('id', 'LONG', false), column('note', 'STRING')];
const log = { debug: () => {}, info: () => {}, warn: () => {} };
const freshSlot = () => ({ pipelineId: 'pipeline', subscriptionId: uniqueName('subscription'), slice: 0, slices: 1 });

const open = async (table: string, more: Partial<OpenTargetContext> = {}): Promise<Target> =>
  mysqlTarget.open(config, {
    log,
    signal: AbortSignal.timeout(60_000),
    table,
    slot: freshSlot(),
    epoch: 1,
    columns: idAndNote,
    primaryKey: ['id'],
    errorTable: `${table}_errors`,
    ...more,
  });

const claimed = async (table: string, more: Partial<OpenTargetContext> = {}): Promise<Target> => {
  const target = await open(table, more);
  await target.claim();
  return target;
};

const deliver = (target: Target, rows: Row[], ops: OpKind[] | null = null, at = '1') =>
  target.deliver({
    data: { kind: 'rows', rows, ops, originOf: (index) => ({ line: index }) },
    rejected: [],
    checkpoint: { position: { at }, counts: { ...noCounts, read: rows.length, mapped: rows.length, emitted: rows.length, written: rows.length } },
  });

const run = async (...statements: string[]): Promise<void> => {
  for (const statement of statements) await admin.query(statement);
};
const all = (table: string, order = 'id') => admin.query(`select * from ${table} order by ${order}`);

test('a column of another type than the mapper declares is named, with what to do', async () => {
  await run('create table conflict (id bigint primary key, note int)');
  const target = await open('conflict');
  await expect(target.claim()).rejects.toMatchObject({
    code: 'SCHEMA_CONFLICT',
    message: expect.stringMatching(/"note" of table `conflict` is int\(11\), but the mapper declares STRING \(longtext\).*ALTER TABLE/) as string,
  });
  await target.close();
});

test('a table without transactions, a view, and two names that are one to the server are refused', async () => {
  await run(
    'create table plain (id bigint primary key, note text) engine = MyISAM',
    'create table below (id bigint primary key, note text)',
    'create view above as select * from below',
  );
  for (const [table, says, columns] of [
    ['plain', 'ENGINE = InnoDB', idAndNote],
    ['above', 'is a view', idAndNote],
    ['cases', 'does not tell upper from lower case', [...idAndNote, column('NOTE', 'STRING')]],
  ] as const) {
    const target = await open(table, { columns });
    await expect(target.claim(), table).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT', message: expect.stringContaining(says) as string });
    await target.close();
  }
});

test('a key without a unique index on a filled table gives the statement to run; on an empty one it is made', async () => {
  await run('create table filled (id bigint, note text)', 'insert into filled values (1, null)', 'create table hollow (id bigint, note text)');
  const filled = await open('filled');
  await expect(filled.claim()).rejects.toMatchObject({
    code: 'SCHEMA_CONFLICT',
    message: expect.stringContaining('ALTER TABLE `filled` ADD PRIMARY KEY (`id`)') as string,
  });
  await filled.close();
  const hollow = await claimed('hollow');
  await deliver(hollow, [{ id: 1, note: 'a' }]);
  await deliver(hollow, [{ id: 1, note: 'b' }]);
  await hollow.close();
  expect(await all('hollow')).toEqual([{ id: '1', note: 'b' }]);
});

test('a row that clashes with another unique index is refused, and never lands in the row of the other key', async () => {
  await run('create table people (id bigint primary key, note varchar(50) character set utf8mb4 unique)', `insert into people values (1, 'ann')`);
  const target = await claimed('people');
  const result = await deliver(target, [
    { id: 2, note: 'bob' },
    { id: 3, note: 'ann' },
    { id: 1, note: 'ann' },
  ]);
  await target.close();
  expect(result.refused.map((row) => [row.origin, row.reason])).toEqual([[{ line: 1 }, expect.stringContaining("Duplicate entry 'ann'")]]);
  expect(await all('people')).toEqual([
    { id: '1', note: 'ann' },
    { id: '2', note: 'bob' },
  ]);
});

const lossy: readonly (readonly [string, Row, RegExp])[] = [
  ['a text too long', { word: 'longer' }, /word/],
  ['a character that the column has not', { word: '東京' }, /word/],
  ['a word that is no member', { size: 'huge' }, /size/],
  ['a number that would name a member', { size: '1' }, /size.*none of/],
  ['a number too large', { small: 40_000 }, /small/],
  ['a fraction for a whole number', { small: 1.5 }, /small.*whole/],
  ['more digits than a double has', { wide: '0.12345678901234567891' }, /wide.*more digits/],
  ['a negative number where there are none', { big: -1 }, /big/],
  ['too many decimal places', { amount: '1.005' }, /amount.*2 decimal places/],
  ['too many digits', { amount: '12345678.00' }, /amount/],
  ['a microsecond too many', { moment: '2024-01-01T00:00:00.1234Z' }, /moment.*3 digits/],
  ['a day that is not there', { moment: '2024-02-30T00:00:00Z' }, /moment/],
  ['spaces that a char drops', { fixed: 'ab ' }, /fixed/],
  ['bytes that would be filled up', { raw: new Uint8Array([1]) }, /raw.*filled up/],
  ['no value where one must be', { needed: null }, /needed/],
  ['half a character', { free: 'x\udc00' }, /free.*surrogate/],
];

test.for(['1', '0'])('what a column would not hold as it is, is refused and never cut (local_infile = %s)', async (infile) => {
  const table = `strict_${infile}`;
  const good: Row = {
    word: 'Zoë',
    size: 'small',
    small: 1,
    big: 18_446_744_073_709_551_615n,
    wide: 0.1,
    amount: '1.50',
    moment: '2024-01-01T00:00:00.123Z',
    fixed: 'ab',
    raw: new Uint8Array([1, 2]),
    needed: 'x',
    free: 'nul \0 and \u001a',
  };
  await run(
    `create table ${table} (id bigint primary key, word varchar(5) character set latin1, size enum('small', 'large'), small smallint, big bigint unsigned, wide double,
       amount decimal(9,2), moment datetime(3), fixed char(4), raw binary(2), needed varchar(9) not null, free longtext character set utf8mb4)`,
    `set global local_infile = ${infile}`,
  );
  const columns = ['id', ...Object.keys(good)].map((name) => column(name, null));
  const target = await claimed(table, { columns, primaryKey: ['id'] });
  const rows = Array.from({ length: 200 }, (_, id): Row => ({ id, ...good, ...(id % 10 === 5 ? lossy[(id - 5) / 10]?.[1] : {}) }));
  const result = await deliver(target, rows);
  await target.close();
  await run('set global local_infile = 1');
  expect(result.refused.map((row) => row.origin['line'])).toEqual(lossy.map((_, index) => index * 10 + 5));
  for (const [index, [why, , reason]] of lossy.entries()) expect(result.refused[index]?.reason, why).toMatch(reason);
  expect(result.checkpoint.counts).toMatchObject({ emitted: 200, written: 200 - lossy.length, refused: lossy.length });
  expect(
    await admin.query(
      `select count(*) as count, count(distinct hex(free), hex(raw), moment, amount, big, word) as same, max(big) as big, max(hex(free)) as free from ${table}`,
    ),
  ).toEqual([
    { count: String(200 - lossy.length), same: '1', big: '18446744073709551615', free: Buffer.from('nul \0 and \u001a').toString('hex').toUpperCase() },
  ]);
  expect(await admin.query(`select count(*) as count from ${table}_errors`)).toEqual([{ count: String(lossy.length) }]);
});

test('where the last op of a key is refused, the one before it stands', async () => {
  await run('create table fallback (id bigint primary key, note varchar(5))');
  const target = await claimed('fallback');
  const result = await deliver(
    target,
    [
      { id: 1, note: 'first' },
      { id: 2, note: 'kept' },
      { id: 2, note: 'much too long' },
      { id: 1, note: 'much too long' },
      { id: 1 },
      { id: 1, note: 'too long again' },
    ],
    ['upsert', 'upsert', 'upsert', 'upsert', 'delete', 'upsert'],
  );
  await target.close();
  expect(result.refused.map((row) => row.origin['line'])).toEqual([2, 5]);
  expect(await all('fallback')).toEqual([{ id: '2', note: 'kept' }]);
});

test('keys that are one to the server keep the order of their ops', async () => {
  await run('create table folded (word varchar(20) collate utf8mb4_general_ci primary key, note text)');
  const target = await claimed('folded', { columns: [column('word', 'STRING', false), column('note', 'STRING')], primaryKey: ['word'] });
  await deliver(
    target,
    [
      { word: 'A', note: '1' },
      { word: 'a', note: '2' },
      { word: 'b', note: '3' },
      { word: 'B' },
      { word: 'c' },
      { word: 'C', note: '4' },
      { word: 'A', note: '5' },
    ],
    ['upsert', 'upsert', 'upsert', 'delete', 'delete', 'upsert', 'upsert'],
  );
  await target.close();
  expect((await all('folded', 'word')).map((row) => row['note'])).toEqual(['5', '4']);
});

test('texts as keys of our own making differ by case and by spaces at the end', async () => {
  const target = await claimed('spaces', { columns: [column('word', 'STRING', false), column('note', 'STRING')], primaryKey: ['word'] });
  const words = ['a', 'A', 'a ', 'ä', ' a'];
  await deliver(
    target,
    words.map((word) => ({ word, note: word })),
  );
  await deliver(
    target,
    words.map((word) => ({ word, note: `${word}!` })),
  );
  await target.close();
  expect(new Set((await all('spaces', 'word')).map((row) => row['note']))).toEqual(new Set(words.map((word) => `${word}!`)));
  expect(await all('spaces', 'word')).toHaveLength(words.length);
});

test('names may hold what the server takes; others are refused with their rows', async () => {
  const names = ['Select', 'with space', 'with `tick`', `it's`, 'back\\slash', 'with.dot', 'ünï', '列', 'a,b', '%s ?', '$1', '-'];
  const target = await claimed('odd`names', { columns: null, errorTable: 'odd_errors' });
  const row = Object.fromEntries(names.map((name, index) => [name, `value ${index}`]));
  const result = await deliver(target, [
    { id: 1, ...row },
    { id: 2, '🚀': 1 },
    { id: 3, SELECT: 'x' },
    { id: 4, ['x'.repeat(65)]: 1 },
  ]);
  await target.close();
  expect(result.refused.map((refused) => refused.origin['line'])).toHaveLength(3);
  expect(await admin.query('select count(*) as count from `odd``names`')).toEqual([{ count: '1' }]);
});

test('a column that nobody declared gets a wider type when values need it', async () => {
  const target = await claimed('growing', { columns: [column('id', 'LONG', false)] });
  await deliver(target, [{ id: 1, size: 1, about: 1, doc: 1 }]);
  await deliver(target, [{ id: 2, size: 1.5, about: 'text', doc: { a: 9_007_199_254_740_993n } }]);
  const result = await deliver(target, [{ id: 3, size: 9_007_199_254_740_993n, about: true, doc: [1] }]);
  await target.close();
  expect(result.refused).toEqual([]);
  expect(await admin.query('select id, size + 0 as size, about, doc from growing order by id')).toEqual([
    { id: '1', size: expect.stringMatching(/^1\.0+$/) as string, about: '1', doc: '1' },
    { id: '2', size: expect.stringMatching(/^1\.50+$/) as string, about: 'text', doc: '{"a":9007199254740993}' },
    { id: '3', size: expect.stringMatching(/^9007199254740993\.0+$/) as string, about: 'true', doc: '[1]' },
  ]);
});

test('a user who may not write is told what to grant', async () => {
  await run(`create user 'writer'@'127.0.0.1' identified by 'pw'`);
  const said: string[] = [];
  for (const grant of ['SELECT', 'CREATE TEMPORARY TABLES', 'INSERT, UPDATE, DELETE, CREATE, ALTER']) {
    await run(`grant ${grant} on tributary.* to 'writer'@'127.0.0.1'`);
    const steps = await mysqlTarget.check({ ...config, user: 'writer', password: 'pw' }, { log, signal: AbortSignal.timeout(10_000) });
    expect(steps.at(-1)?.name).toBe('permissions');
    said.push(steps.at(-1)?.message ?? '');
  }
  expect(said).toEqual([
    expect.stringContaining("GRANT CREATE TEMPORARY TABLES ON `tributary`.* TO 'writer'"),
    expect.stringContaining("GRANT SELECT, INSERT, UPDATE, DELETE ON `tributary`.* TO 'writer'"),
    'May create and write tables in tributary.',
  ]);
});

/** A process of its own that claims the slot and appends numbered rows, one delivery of 50 after the other, saying how far it is. */
const writer = (table: string, subscriptionId: string, epoch: number) => {
  const script = `
    const { mysqlTarget } = await import(${JSON.stringify(new URL('./target.ts', import.meta.url).href)});
    const log = { debug() {}, info() {}, warn() {} };
    const noCounts = ${JSON.stringify(noCounts)};
    const target = await mysqlTarget.open(${JSON.stringify(config)}, { log, signal: new AbortController().signal, table: '${table}',
      slot: { pipelineId: 'p', subscriptionId: '${subscriptionId}', slice: 0, slices: 1 }, epoch: ${epoch},
      columns: [{ name: 'id', type: { kind: 'LONG' }, nullable: false }], primaryKey: [], errorTable: null });
    try {
      const { own } = await target.claim();
      for (let from = Number(own?.position.at ?? 0); ; from += 50) {
        const rows = Array.from({ length: 50 }, (_, index) => ({ id: from + index }));
        await target.deliver({ data: { kind: 'rows', rows, ops: null, originOf: () => ({}) }, rejected: [],
          checkpoint: { position: { at: String(from + 50) }, counts: { ...noCounts, written: from + 50 } } });
        console.log(from + 50);
      }
    } catch (error) {
      console.log(error.code);
      process.exit(0);
    }`;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  return { child, lines };
};

/** Every row up to the checkpoint is there, once, and none beyond. */
const expectExact = async (table: string, subscriptionId: string): Promise<number> => {
  const [checkpoint] = await admin.query<{ at: string }>(
    `select json_value(position, '$.at') as at from _tributary_checkpoints where subscription_id = '${subscriptionId}'`,
  );
  const at = Number(checkpoint?.at);
  expect(await admin.query(`select count(*) as count, count(distinct id) as ids, max(id) as last from ${table}`)).toEqual([
    { count: String(at), ids: String(at), last: String(at - 1) },
  ]);
  return at;
};

test('killed between and within commits, the next owner goes on with nothing lost and nothing doubled', async () => {
  const subscription = uniqueName('subscription');
  let reached = 0;
  for (let epoch = 1; epoch <= 5; epoch++) {
    const { child, lines } = writer('killed', subscription, epoch);
    let said = 0;
    for await (const line of lines) {
      expect(line).toMatch(/^\d+$/);
      said = Number(line);
      if (said >= reached + 150 + epoch * 50) break;
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
    // What the server had begun when the process died it may still commit, so the next owner fences first.
    const heir = await claimed('killed', {
      slot: { ...freshSlot(), subscriptionId: subscription },
      epoch,
      columns: [column('id', 'LONG', false)],
      primaryKey: [],
      errorTable: null,
    });
    await heir.close();
    const at = await expectExact('killed', subscription);
    expect(at).toBeGreaterThanOrEqual(said);
    reached = at;
  }
  expect(reached).toBeGreaterThanOrEqual(1_500);
}, 60_000);

test('an owner that stands still is ended by its heir and finds itself fenced', async () => {
  const subscription = uniqueName('subscription');
  const { child, lines } = writer('frozen', subscription, 1);
  const said: string[] = [];
  const ended = once(child, 'exit');
  let frozen = false;
  lines.on('line', (line) => {
    said.push(line);
    if (said.length === 20 && !frozen) {
      frozen = true;
      child.kill('SIGSTOP');
    }
  });
  await expect.poll(() => frozen, { timeout: 20_000 }).toBe(true);
  const heir = await open('frozen', {
    slot: { ...freshSlot(), subscriptionId: subscription },
    epoch: 2,
    columns: [column('id', 'LONG', false)],
    primaryKey: [],
    errorTable: null,
  });
  const { own } = await heir.claim();
  const from = Number(own?.position['at']);
  await deliver(heir, [{ id: from }], null, String(from + 1));
  child.kill('SIGCONT');
  await ended;
  expect(said.at(-1)).toBe('FENCED');
  await heir.close();
  expect(await expectExact('frozen', subscription)).toBe(from + 1);
}, 60_000);

test('an owner that hangs in its transaction is ended by its heir', async () => {
  const slot = freshSlot();
  const older = await claimed('hanging', { slot });
  const lock = await connectAdmin();
  await lock.query('start transaction');
  await lock.query(`select * from _tributary_checkpoints where subscription_id = '${slot.subscriptionId}' for update`);
  const late = deliver(older, [{ id: 1, note: 'older' }]).catch((error: unknown) => error);
  const hanging = async (): Promise<number> =>
    (await admin.query(`select id as id from information_schema.processlist where info like 'update%tributary_checkpoints%set position%'`)).length;
  await expect.poll(hanging, { timeout: 10_000 }).toBe(1);
  const heir = await open('hanging', { slot, epoch: 2 });
  const claim = heir.claim();
  await expect.poll(hanging, { timeout: 5_000 }).toBe(0);
  expect(await late).toBeInstanceOf(TributaryError);
  await lock.query('rollback');
  await lock.close();
  await claim;
  await deliver(heir, [{ id: 2, note: 'heir' }]);
  await heir.close();
  await older.close();
  expect(await all('hanging')).toEqual([{ id: '2', note: 'heir' }]);
}, 60_000);

test('a server that is killed loses nothing that was committed and keeps nothing else', async () => {
  const subscription = uniqueName('subscription');
  const { child, lines } = writer('crashed', subscription, 1);
  let said = 0;
  for await (const line of lines) {
    said = Number(line);
    if (said >= 500) break;
  }
  await server.kill();
  child.kill('SIGKILL');
  await admin.close();
  await server.start();
  admin = await connectAdmin();
  expect(await expectExact('crashed', subscription)).toBeGreaterThanOrEqual(said);
}, 60_000);
