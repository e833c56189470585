// Sources and targets beyond Kafka to PostgreSQL, through the whole platform, compared value by value.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readTable } from '@tributary/connectors/file/read-table';
import { startPlatform, type Platform } from '@tributary/devstack/platform';
import { uniqueName } from '@tributary/devstack/testing';
import { createTenant, eventually, fieldsOf, startPipeline, type Fields, type Tenant } from './api.ts';
import { testKafka, type TestKafka } from './kafka.ts';

let platform: Platform;
let tenant: Tenant;
let kafka: TestKafka;
let brokers: string;
let postgres: pg.Client;

beforeAll(async () => {
  platform = await startPlatform();
  brokers = new URL(platform.stack.urls.kafka).host;
  kafka = testKafka(brokers);
  tenant = await createTenant(platform.gateway, uniqueName('pairs').replaceAll('_', '-'));
  postgres = new pg.Client({ connectionString: platform.stack.urls.postgres });
  await postgres.connect();
});
afterAll(async () => {
  await postgres?.end();
  await platform?.stop();
});

const postgresConfig = (): Fields => {
  const url = new URL(platform.stack.urls.postgres);
  return { host: url.hostname, port: Number(url.port), database: url.pathname.slice(1), user: url.username, password: url.password };
};

const start = (source: { type: string; config: Fields }, target: { type: string; config: Fields; table: string }, more: Fields = {}): Promise<string> =>
  startPipeline(tenant, {
    name: uniqueName('pair'),
    source_name: 'source',
    source_type: source.type,
    source_config: source.config,
    target_name: 'target',
    target_type: target.type,
    target_config: target.config,
    subscription_target_table_name: target.table,
    subscription_backfill: true,
    ...more,
  });

const written = (id: string, expected: number): Promise<true> =>
  eventually(`${expected} rows written`, async () => {
    const body = await tenant.api.expectStatus(200, 'GET', `/api/pipelines/${id}/counts`);
    return Number(fieldsOf(body['counts'])['written']) >= expected ? true : null;
  });

test('a CSV file with quotes, newlines and umlauts arrives in DuckDB', async () => {
  await mkdir(join(platform.fileRoot, 'in'), { recursive: true });
  await writeFile(join(platform.fileRoot, 'in/people.csv'), 'id,name,note\n1,"Müller, Jörg","says ""hi"""\n2,Ann,"two\nlines"\n9007199254740993,Zoë,\n');
  const id = await start(
    { type: 'FILE_SOURCE', config: { path: 'in/*.csv' } },
    { type: 'DUCKDB_TARGET', config: { path: 'people.duckdb' }, table: 'people' },
    {
      subscription_mapper_config: [
        { key: 'id', path: '$.id', cast: 'int', primary_key: true },
        { key: 'name', path: '$.name', cast: 'string' },
        { key: 'note', path: '$.note', cast: 'string' },
      ],
    },
  );
  await written(id, 3);
  await tenant.api.expectStatus(204, 'DELETE', `/api/pipelines/${id}`);
  // One process holds a DuckDB file: it can be read here once the slot has let it go.
  const rows = await eventually('the file is free', async () => {
    const instance = await DuckDBInstance.create(join(platform.fileRoot, 'people.duckdb'), { access_mode: 'READ_ONLY' });
    const connection = await instance.connect();
    const result = await connection.runAndReadAll('select id::varchar, name, note from people order by id');
    const found = result.getRowsJson();
    connection.closeSync();
    instance.closeSync();
    return found;
  });
  expect(rows.map(([key, name]) => [key, name])).toEqual([
    ['1', 'Müller, Jörg'],
    ['2', 'Ann'],
    ['9007199254740993', 'Zoë'],
  ]);
  expect(rows.map(([, , note]) => note).slice(0, 2)).toEqual(['says "hi"', 'two\nlines']);
});

test('a PostgreSQL table arrives in Kafka with exact values, and rows added later follow', async () => {
  const table = uniqueName('orders');
  const topic = uniqueName('orders_topic');
  await postgres.query(`create table ${table} (id bigint primary key, amount numeric(20,4), at timestamptz, tags jsonb)`);
  await postgres.query(
    `insert into ${table} select 9007199254740990 + n, 12345678901234.5678, '2024-01-31T12:34:56.123456Z', '{"a": [1, 2]}' from generate_series(1, 500) n`,
  );
  const id = await start(
    { type: 'POSTGRESQL_SOURCE', config: { ...postgresConfig(), table, poll_interval_seconds: 0.5 } },
    { type: 'KAFKA_TARGET', config: { bootstrap_server: brokers }, table: topic },
  );
  await written(id, 500);
  await postgres.query(`insert into ${table} values (9007199254749999, 0.0001, '2024-02-01T00:00:00Z', null)`);
  await written(id, 501);
  const messages = await kafka.readAll(topic);
  expect(messages).toHaveLength(501);
  expect(new Set(messages.map((message) => message.key)).size).toBe(501);
  // Beyond 2^53 a number read by JSON.parse would differ: the text is compared.
  const first = messages.find((message) => message.key === '9007199254740993');
  expect(first?.value).toContain('"id":9007199254740993');
  expect(first?.value).toMatch(/"amount":"?12345678901234\.5678"?/);
  expect(first?.value).toContain('2024-01-31T12:34:56.123456Z');
});

test('a topic arrives in JSONL files, and a paused pipeline goes on where it stopped', async () => {
  const topic = uniqueName('to_files');
  await kafka.createTopic(topic, 2);
  const rows = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => ({ key: `k${from + i}`, value: JSON.stringify({ n: from + i, text: `row ${from + i}` }) }));
  await kafka.produce(topic, rows(0, 300));
  const id = await start(
    { type: 'KAFKA_SOURCE', config: { topic, bootstrap_servers: brokers } },
    { type: 'FILE_TARGET', config: { path: 'out' }, table: 'lines' },
  );
  await written(id, 300);
  await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${id}/pause`);
  await kafka.produce(topic, rows(300, 500));
  await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${id}/start`);
  await written(id, 500);
  const found = await Array.fromAsync(readTable(join(platform.fileRoot, 'out/lines')));
  expect(found.map((row) => Number(row['n'])).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i));
});

test('lists files before one is chosen, and refuses a path outside the folder', async () => {
  await mkdir(join(platform.fileRoot, 'listed'), { recursive: true });
  await writeFile(join(platform.fileRoot, 'listed/a.jsonl'), '{"a":1}\n');
  const outside = await tenant.api.expectStatus(200, 'POST', '/api/connector-types/file-source/check-credentials', { path: '../../../*.json' });
  expect(outside).toMatchObject({ is_success: false });
  const listed = await tenant.api.expectStatus(200, 'POST', '/api/connector-types/file-source/list-topics', { path: 'listed/*' });
  expect(listed['topics']).toContain('listed/a.jsonl');
});
