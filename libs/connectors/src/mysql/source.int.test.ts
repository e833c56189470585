import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OpenSourceContext, Source } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { startMariadb, type Mariadb } from '@tributary/devstack/mariadb';
import type { RawConfig } from '@tributary/conformance/under-test';
import { sourceConfig } from './config.ts';
import { configOf } from './conformance.ts';
import { openSession, type Session } from './connect.ts';
import { mysqlSource } from './source.ts';
import { currentWriters } from './writers.ts';

let server: Mariadb;
let admin: Session;
let config: RawConfig;

const connectAdmin = () => openSession(sourceConfig.parse(config), { side: 'source', signal: new AbortController().signal });

beforeAll(async () => {
  server = await startMariadb();
  config = configOf(server.url);
  admin = await connectAdmin();
}, 120_000);

afterAll(async () => {
  await admin.close();
  await server.stop();
});

const run = async (...statements: string[]): Promise<void> => {
  for (const statement of statements) await admin.query(statement);
};

const log = { debug: () => {}, info: () => {}, warn: () => {} };
const open = async (more: RawConfig, context: Partial<OpenSourceContext> = {}): Promise<Source> =>
  mysqlSource.open(sourceConfig.parse({ ...config, poll_interval_seconds: 0.1, ...more }), {
    log,
    signal: AbortSignal.timeout(60_000),
    stream: null,
    consumerId: 'consumer',
    slice: 0,
    slices: 1,
    mode: 'once',
    backfill: true,
    startedAt: new Date(),
    ...context,
  });

interface Piece {
  readonly rows: Row[];
  readonly position: Position;
}

const readAll = async (source: Source, from: Position, maxRows = 100): Promise<Piece[]> => {
  const reader = source.read(from, { format: 'rows', maxRows, maxBytes: 1 << 20 });
  const pieces: Piece[] = [];
  for (;;) {
    const batch = await reader.next(AbortSignal.timeout(30_000));
    if (batch === 'end') return pieces;
    if (batch !== 'idle' && batch.kind === 'rows') pieces.push({ rows: batch.rows, position: batch.position });
  }
};
const rowsOf = (pieces: readonly Piece[]): Row[] => pieces.flatMap((piece) => piece.rows);

/** From every checkpoint on, exactly the rest comes. */
const expectResumable = async (more: RawConfig, maxRows: number): Promise<Row[]> => {
  const source = await open(more);
  const start = await source.firstPosition();
  const pieces = await readAll(source, start, maxRows);
  const all = rowsOf(pieces);
  let before = 0;
  for (const piece of [{ rows: [], position: start }, ...pieces]) {
    before += piece.rows.length;
    const rest = rowsOf(await readAll(source, piece.position, maxRows));
    expect(rest).toEqual(all.slice(before));
  }
  await source.close();
  return all;
};

test('every type arrives with all of its digits', async () => {
  await run(
    `create table kinds (id bigint unsigned primary key, flag tinyint(1), tiny tinyint unsigned, mid mediumint, whole int unsigned, big bigint, amount decimal(65,30),
       single float, wide double, day date, clock time(6), local datetime(6), instant timestamp(6) null, made year, bits bit(12), word enum('a','b'),
       doc json, raw varbinary(9), latin varchar(9) character set latin1, free longtext character set utf8mb4)`,
    `insert into kinds values (18446744073709551615, 1, 255, -8388608, 4294967295, -9223372036854775808, '12345678901234567890123456789012345.123456789012345678901234567890',
       0.1, 1.7976931348623157e308, '0001-01-01', '23:59:59.999999', '9999-12-31 23:59:59.999999', '2024-03-31 01:30:00.000001', 2024, b'111111111111', 'b',
       '{"n": 12345678901234567890, "d": 0.12345678901234567891}', x'ff00fe', 'Zoë', '列 🚀\\n\\0')`,
  );
  const source = await open({ table: 'kinds' });
  const [row] = rowsOf(await readAll(source, await source.firstPosition()));
  expect(row).toMatchObject({
    id: '18446744073709551615',
    flag: true,
    tiny: 255,
    mid: -8_388_608,
    whole: 4_294_967_295,
    big: -9_223_372_036_854_775_808n,
    amount: '12345678901234567890123456789012345.123456789012345678901234567890',
    single: 0.1,
    wide: 1.7976931348623157e308,
    day: '0001-01-01',
    clock: '23:59:59.999999',
    local: '9999-12-31T23:59:59.999999',
    instant: '2024-03-31T01:30:00.000001Z',
    made: 2024,
    bits: '4095',
    word: 'b',
    raw: new Uint8Array([255, 0, 254]),
    latin: 'Zoë',
    free: '列 🚀\n\0',
  });
  expect(JSON.stringify(row?.['doc'], (_, value: unknown) => (typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value))).toBe(
    '{"n":12345678901234567890,"d":0.12345678901234567891}',
  );
  await source.close();
});

test('keys of several columns, texts and bytes among them, resume at every row', async () => {
  await run('create table composite (region varchar(9) collate utf8mb4_general_ci, raw varbinary(4), number decimal(20,2), primary key (region, raw, number))');
  const values = ['a', 'B', 'c ', `d'\\`].flatMap((region) =>
    ['00', 'ff', '5c27'].flatMap((raw) =>
      [-1, 0.5, '9007199254740993.01'].map((number) => `(${`'${region.replaceAll(/['\\]/g, '\\$&')}'`}, x'${raw}', ${number})`),
    ),
  );
  await run(`insert into composite values ${values.join(', ')}`);
  expect(await expectResumable({ table: 'composite' }, 5)).toHaveLength(36);
});

test('rows without a cursor value come first; rows that share the last cursor are neither missed nor doubled', async () => {
  await run('create table cursors (id int primary key, at datetime(6))');
  await run(
    `insert into cursors values ${Array.from({ length: 30 }, (_, id) => `(${id}, ${id < 7 ? 'null' : `'2024-01-01 00:00:00.00000${id % 3}'`})`).join(', ')}`,
  );
  const rows = await expectResumable({ table: 'cursors', cursor_column: 'at' }, 4);
  expect(rows.slice(0, 7).every((row) => row['at'] === null)).toBe(true);
  expect(new Set(rows.map((row) => row['id'])).size).toBe(30);
  const source = await open({ table: 'cursors', cursor_column: 'at' });
  const before = (await readAll(source, {})).at(-1)?.position ?? {};
  // A lower key, the same cursor, and one that changed.
  await run(`insert into cursors values (-1, '2024-01-01 00:00:00.000002')`, `update cursors set at = '2024-01-02' where id = 9`);
  expect(rowsOf(await readAll(source, before)).map((row) => row['id'])).toEqual([-1, 9]);
  await source.close();
});

test('a table without a key is resumed by counts of equal rows', async () => {
  await run('create table keyless (at int not null, note varchar(9))');
  await run(
    `insert into keyless values ${Array.from({ length: 40 }, (_, index) => `(${Math.floor(index / 20)}, ${index % 4 === 0 ? 'null' : `'${index % 3}'`})`).join(', ')}`,
  );
  expect(await expectResumable({ table: 'keyless', cursor_column: 'at' }, 3)).toHaveLength(40);
  await expect(open({ table: 'keyless' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test('a row that is committed after one with a higher key is waited for', async () => {
  await run('create table late (id int auto_increment primary key, note text)');
  const other = await connectAdmin();
  await other.query('start transaction');
  await other.query(`insert into late (note) values ('late')`);
  await run(`insert into late (note) values ('early')`);
  const source = await open({ table: 'late' });
  const reading = readAll(source, await source.firstPosition());
  // As long as the reader waits, it gives nothing.
  await expect.poll(async () => (await currentWriters(admin)).length, { timeout: 5_000 }).toBe(1);
  await other.query('commit');
  expect(rowsOf(await reading).map((row) => row['note'])).toEqual(['late', 'early']);
  await source.close();
  await other.close();
});

test('writers are seen at once, however often the list is asked for', async () => {
  await run('create table seen (id int primary key)');
  const other = await connectAdmin();
  for (let round = 0; round < 5; round++) {
    await other.query('start transaction');
    await other.query(`insert into seen values (${round})`);
    expect(await currentWriters(admin)).toHaveLength(1);
    await other.query('commit');
    expect(await currentWriters(admin)).toEqual([]);
  }
  await other.close();
});

test('a user who may not see the transactions of others is told what to grant', async () => {
  await run(
    `create user 'reader'@'127.0.0.1' identified by 'pw'`,
    `grant select on tributary.* to 'reader'@'127.0.0.1'`,
    'create table granted (id int primary key)',
  );
  const reader = { user: 'reader', password: 'pw', table: 'granted' };
  const steps = await mysqlSource.check(sourceConfig.parse({ ...config, ...reader }), { log, signal: AbortSignal.timeout(10_000) });
  expect(steps.at(-1)).toMatchObject({ name: 'permissions', ok: false, message: expect.stringContaining(`GRANT PROCESS ON *.* TO 'reader'`) as string });
  await expect(open(reader)).rejects.toMatchObject({ code: 'PERMISSION_MISSING' });
});

test('a text that is compared without regard to case is no cursor', async () => {
  await run('create table words (id int primary key, word varchar(9) collate utf8mb4_general_ci)');
  await expect(open({ table: 'words', cursor_column: 'word' })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});

test('a large table is read in batches of bounded size, and through a lost connection', async () => {
  await run(
    'create table large (id int auto_increment primary key, note varchar(200))',
    `insert into large (note) select repeat('x', 200) from seq_1_to_250000`,
  );
  const source = await open({ table: 'large' });
  const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 5_000, maxBytes: 1 << 20 });
  let count = 0;
  let last = 0;
  let killed = false;
  for (;;) {
    const batch = await reader.next(AbortSignal.timeout(30_000));
    if (batch === 'end') break;
    if (batch === 'idle' || batch.kind !== 'rows') continue;
    expect(batch.bytes).toBeLessThan((1 << 20) + 1_000);
    for (const row of batch.rows) {
      expect(row['id']).toBe(last + 1);
      last += 1;
    }
    count += batch.rows.length;
    if (count < 120_000 || killed) continue;
    killed = true;
    const sessions = await admin.query<{ id: string }>(
      `select id as id from information_schema.processlist where info like 'select %large%' and id <> connection_id()`,
    );
    expect(sessions).toHaveLength(1);
    await run(`kill ${sessions[0]?.id}`);
  }
  expect([count, killed]).toEqual([250_000, true]);
  await source.close();
}, 60_000);
