/** The command as users run it: as a process, on files and a real PostgreSQL. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { freshDatabase, testServers, uniqueName, type FreshDatabase } from '@tributary/devstack/testing';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';

const launcher = path.join(import.meta.dirname, '../bin/tributary.mjs');
const main = path.join(import.meta.dirname, 'main.ts');

let parent: string;
let database: FreshDatabase;
let admin: pg.Client;
let environment: Record<string, string>;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  parent = await mkdtemp(path.join(tmpdir(), 'tributary-cli-'));
  database = await freshDatabase('postgres');
  admin = new pg.Client({ connectionString: database.url });
  admin.on('error', () => {});
  await admin.connect();
  const { hostname, port, username, password } = new URL(database.url);
  environment = { PG_HOST: hostname, PG_PORT: port, PG_USER: username, PG_PASSWORD: decodeURIComponent(password) };
});

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await admin.end();
  await database.drop();
  await rm(parent, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stderr(): string;
}

const start = (args: readonly string[], options: { readonly program?: readonly string[]; readonly env?: Record<string, string> } = {}): Started => {
  const child = spawn(process.execPath, [...(options.program ?? [launcher]), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...(options.env ?? environment) },
  });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = once(child, 'close').then(([code]: (number | null)[]): Ended => {
    running.delete(child);
    return { code: code ?? null, stdout, stderr };
  });
  return { child, ended, stderr: () => stderr };
};

const run = (...args: string[]): Promise<Ended> => start(args).ended;

const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
  const limit = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > limit) throw new Error(`Not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

/** A folder with the given files; the path of `sync.yaml` in it. */
const folderWith = async (files: Readonly<Record<string, string>>): Promise<string> => {
  const folder = await mkdtemp(path.join(parent, 'sync-'));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
  return path.join(folder, 'sync.yaml');
};

const postgres = (table: string): string => `
  type: postgresql
  table: ${table}
  config:
    host: \${PG_HOST}
    port: \${PG_PORT}
    database: ${database.name}
    user: \${PG_USER}
    password: \${PG_PASSWORD}
`;

const numbers = (count: number): string => {
  const lines = ['id,note'];
  for (let id = 0; id < count; id += 1) lines.push(`${id},note ${id} of quite a few rows`);
  return `${lines.join('\n')}\n`;
};

/** Without a key: a row that is written twice is there twice. */
const csvToPostgres = (table: string): string => `
source: { type: file, config: { path: numbers.csv } }
target: ${postgres(table)}
mapper:
  - { key: id, path: $.id, cast: int }
  - { key: note, path: $.note }
`;

const countOf = async (table: string): Promise<{ rows: number; ids: number }> => {
  const found = await admin.query<{ exists: boolean }>('select to_regclass($1) is not null as exists', [table]);
  if (found.rows[0]?.exists !== true) return { rows: 0, ids: 0 };
  const { rows } = await admin.query<{ rows: string; ids: string }>(`select count(*) as rows, count(distinct id) as ids from ${table}`);
  return { rows: Number(rows[0]?.rows), ids: Number(rows[0]?.ids) };
};

test('JSON lines go into DuckDB; rejected rows are said, and a second run has nothing to do', async () => {
  const rows = Array.from({ length: 1000 }, (_, id) => JSON.stringify({ id, who: { name: `name ${id}` }, amount: id === 7 ? 'much' : id * 1.5 }));
  const file = await folderWith({
    'orders.jsonl': `${rows.join('\n')}\n`,
    'sync.yaml': `
source: { type: FILE_SOURCE, config: { path: orders.jsonl } }
target: { type: duckdb, table: orders, config: { path: shop.duckdb } }
mapper:
  - { key: id, path: $.id, cast: int, primary_key: true }
  - { key: name, path: $.who.name }
  - { key: amount, path: $.amount, cast: float }
`,
  });
  const first = await run('sync', file);
  expect(first).toMatchObject({ code: 0 });
  expect(first.stdout).toMatch(/^read +1,000\nmapped +999\nfiltered +0\nrejected +1\nwritten +999\nrefused +0\nduration/m);
  expect(first.stderr).toContain('Column "amount": "much" is not a float.');
  expect(first.stderr).toContain('Attention: 1 rejected. The rows are in orders_errors');

  const second = await run('sync', file, '--json');
  expect(JSON.parse(second.stdout)).toMatchObject({ outcome: 'finished', run: { read: 0 }, total: { read: 1000, written: 999, rejected: 1 } });

  const instance = await DuckDBInstance.create(path.join(path.dirname(file), 'shop.duckdb'));
  const connection = await instance.connect();
  const asked = await connection.runAndReadAll('select count(*), count(distinct id), sum(amount), (select count(*) from orders_errors) from orders');
  expect(asked.getRows()).toEqual([[999n, 999n, (999 * 1000 * 1.5) / 2 - 10.5, 1n]]);
  connection.closeSync();
  instance.closeSync();
});

test('rows go into a topic and out of it again, untouched on the way', async () => {
  const [topic, copy] = [uniqueName('cli'), uniqueName('cli')];
  const brokers = testServers().kafkaBrokers;
  const lines = Array.from({ length: 100 }, (_, id) => `{"id":${id},"large":9007199254740993}`);
  const into = await folderWith({
    'rows.jsonl': `${lines.join('\n')}\n`,
    'sync.yaml': `
source: { type: file, config: { path: rows.jsonl } }
target: { type: kafka, table: ${topic}, config: { bootstrap_server: "${brokers}" } }
`,
    'across.yaml': `
source: { type: kafka, config: { topic: ${topic}, bootstrap_servers: "${brokers}" } }
target: { type: kafka, table: ${copy}, config: { bootstrap_server: "${brokers}" } }
`,
    'out.yaml': `
source: { type: kafka, stream: ${copy}, config: { topic: other, bootstrap_servers: "${brokers}" } }
target: { type: file, table: rows, config: { path: out } }
`,
  });
  for (const name of ['sync.yaml', 'across.yaml', 'out.yaml']) {
    const ended = await run('sync', path.join(path.dirname(into), name), '--json');
    expect(ended, name).toMatchObject({ code: 0 });
    expect(JSON.parse(ended.stdout), name).toMatchObject({ outcome: 'finished', run: { read: 100, written: 100 } });
  }
  const folder = path.join(path.dirname(into), 'out/rows');
  const parts = (await readdir(folder)).filter((name) => name.endsWith('.jsonl'));
  const found = (await Promise.all(parts.map((part) => readFile(path.join(folder, part), 'utf8')))).join('').trim().split('\n');
  expect(found.sort()).toEqual(lines.sort());
});

test('a run that is killed goes on where it was, with every row once', { timeout: 120_000 }, async () => {
  const total = 400_000;
  const file = await folderWith({ 'numbers.csv': numbers(total), 'sync.yaml': csvToPostgres('killed') });
  let before = 0;
  for (let kill = 0; kill < 2; kill += 1) {
    const engine = start(['sync', file], { program: ['--disable-warning=ExperimentalWarning', main] });
    await until('rows of this run are committed', async () => (await countOf('killed')).rows > before);
    engine.child.kill('SIGKILL');
    expect(await engine.ended).toMatchObject({ code: null });
    before = (await countOf('killed')).rows;
    expect(before).toBeLessThan(total);
  }
  const last = await run('sync', file, '--json');
  expect(last).toMatchObject({ code: 0 });
  const { run: ofRun, total: inAll } = JSON.parse(last.stdout) as { run: { read: number }; total: { read: number; written: number } };
  expect(inAll).toMatchObject({ read: total, written: total });
  expect(ofRun.read).toBeLessThan(total);
  expect(await countOf('killed')).toEqual({ rows: total, ids: total });
});

test('Ctrl-C commits what is in hand and says how to go on', { timeout: 120_000 }, async () => {
  const total = 400_000;
  const file = await folderWith({ 'numbers.csv': numbers(total), 'sync.yaml': csvToPostgres('stopped') });
  const first = start(['sync', file]);
  await until('rows are committed', async () => (await countOf('stopped')).rows > 0);
  first.child.kill('SIGINT');
  const ended = await first.ended;
  expect(ended.code).toBe(130);
  expect(ended.stderr).toContain(`Stopped; all of this is committed. \`tributary sync ${file}\` goes on from there.`);
  const { rows } = await countOf('stopped');
  expect(ended.stdout).toMatch(new RegExp(`^written +${rows.toLocaleString('en-US')}$`, 'm'));
  expect(rows).toBeLessThan(total);
  const second = await run('sync', file);
  expect(second.code).toBe(0);
  expect(second.stderr).toContain(`on from ${rows.toLocaleString('en-US')} rows of earlier runs`);
  expect(await countOf('stopped')).toEqual({ rows: total, ids: total });
});

test('two runs at once: refused on one machine; from another the later one takes over', { timeout: 120_000 }, async () => {
  const file = await folderWith({
    'numbers.csv': numbers(10),
    'sync.yaml': csvToPostgres('followed').replace('numbers.csv', 'numbers.csv, poll_interval_seconds: 0.1'),
  });
  const older = start(['sync', file, '--follow']);
  await until('the first rows are there', async () => (await countOf('followed')).rows === 10);
  const refused = await run('sync', file);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain('This sync is running already (process ');

  const newer = start(['sync', file, '--follow', '--state', path.join(path.dirname(file), 'elsewhere.json')]);
  await until('the newer run is live', () => newer.stderr().includes('Reading '));
  await writeFile(path.join(path.dirname(file), 'numbers.csv'), '10,ten\n', { flag: 'a' });
  await until('the new row is there', async () => (await countOf('followed')).rows === 11);
  const lost = await older.ended;
  expect(lost).toMatchObject({ code: 1 });
  expect(lost.stderr).toContain('A later run of this sync');
  newer.child.kill('SIGTERM');
  expect(await newer.ended).toMatchObject({ code: 0 });
  expect(await countOf('followed')).toEqual({ rows: 11, ids: 11 });
});

test('without an error table the first rejected row ends the sync, and says which', async () => {
  const file = await folderWith({ 'numbers.csv': 'id,note\n1,a\nx,b\n', 'sync.yaml': `${csvToPostgres('strict')}error_table: null\n` });
  const ended = await run('sync', file);
  expect(ended).toMatchObject({ code: 1, stdout: '' });
  expect(ended.stderr).toContain('Column "id": "x" is not');
});

test('a bad file and a missing variable are errors with their line; wrong arguments are 2', async () => {
  const file = await folderWith({ 'numbers.csv': numbers(1), 'sync.yaml': csvToPostgres('bad').replace('cast: int', 'cast: number') });
  const bad = await run('sync', file);
  expect(bad).toMatchObject({ code: 1, stdout: '' });
  expect(bad.stderr).toContain(`${file}:14: mapper[0].cast: `);

  const missing = await start(['test', file], { env: { PG_HOST: 'h', PG_PORT: '1', PG_USER: 'u' } }).ended;
  expect(missing).toMatchObject({ code: 1, stdout: '' });
  expect(missing.stderr).toContain(':11: target.config.password: the environment variable PG_PASSWORD is not set.');

  expect(await run('sync')).toMatchObject({ code: 2 });
  expect(await run('snyc', file)).toMatchObject({ code: 2 });
  expect((await run('sync', path.join(parent, 'none.yaml'))).stderr).toContain('There is no file');
});

test('a test shows each step and mapped rows; a wrong password fails at signing in and is not printed', async () => {
  const file = await folderWith({ 'numbers.csv': 'id,note\n1,a\nx,b\n', 'sync.yaml': csvToPostgres('tried') });
  const good = await run('test', file);
  expect(good).toMatchObject({ code: 0 });
  expect(good.stdout).toMatch(/ {2}before {2}\{"id":"1","note":"a"\}\n {2}after {3}\{"id":1,"note":"a"\}/);
  expect(good.stdout).toContain('rejected: Column "id": "x" is not');
  expect((await countOf('tried')).rows).toBe(0);

  const password = 'not-the-password';
  const wrong = await start(['test', file], { env: { ...environment, PG_PASSWORD: password } }).ended;
  expect(wrong.code).toBe(1);
  expect(wrong.stdout).toMatch(/FAILED +sign in/);
  const sync = await start(['sync', file], { env: { ...environment, PG_PASSWORD: password } }).ended;
  expect(sync.code).toBe(1);
  expect(sync.stderr).toContain('Check user name, password');
  for (const text of [wrong.stdout, wrong.stderr, sync.stderr]) expect(text).not.toContain(password);
});

test('streams, describe and init show what there is', async () => {
  const file = await folderWith({ 'a.csv': 'id,note\n1,x\n', 'b.jsonl': '{"id":1}\n', 'sync.yaml': 'source: { type: file, config: { path: "*.csv" } }\n' });
  const streams = await run('streams', file);
  expect(streams.stdout).toMatch(/^a\.csv +id, note$/m);

  expect((await run('describe')).stdout).toMatch(/^postgresql +PostgreSQL +source, target +exactly once$/m);
  const described = await run('describe', 'postgresql');
  expect(described.stdout).toMatch(/^ {2}password +text +secret/m);
  expect(described.stdout).toContain('POSTGRESQL_TARGET): exactly once');

  const made = path.join(path.dirname(file), 'made.yaml');
  expect(await run('init', 'file', 'duckdb', made)).toMatchObject({ code: 0 });
  expect(existsSync(made)).toBe(true);
  const again = await run('init', 'file', 'duckdb', made);
  expect(again).toMatchObject({ code: 1 });
  expect(again.stderr).toContain('is there already');
  expect(await readFile(made, 'utf8')).toContain('type: duckdb');
});
