// Rows that arrive: once each, from where they should, and on after a pause.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPlatform, type Platform } from '@tributary/devstack/platform';
import { uniqueName } from '@tributary/devstack/testing';
import { createTenant, eventually, fieldsOf, startPipeline, waitForState, type Fields, type Tenant } from './api.ts';
import { testKafka, type Message, type TestKafka } from './kafka.ts';

let platform: Platform;
let tenant: Tenant;
let brokers: string;
let kafka: TestKafka;
let postgres: pg.Client;

beforeAll(async () => {
  platform = await startPlatform({ workers: 2 });
  brokers = new URL(platform.stack.urls.kafka).host;
  kafka = testKafka(brokers);
  tenant = await createTenant(platform.gateway, uniqueName('moves').replaceAll('_', '-'));
  postgres = new pg.Client({ connectionString: platform.stack.urls.postgres });
  await postgres.connect();
});
afterAll(async () => {
  await postgres?.end();
  await platform?.stop();
});

const numbered = (from: number, to: number): Message[] =>
  Array.from({ length: to - from }, (_, i) => ({ key: `k${from + i}`, value: JSON.stringify({ id: from + i, name: `n${from + i}` }) }));

const kafkaSource = (topic: string): Fields => ({
  source_name: `${topic}-source`,
  source_type: 'KAFKA_SOURCE',
  source_config: { topic, bootstrap_servers: brokers, security_protocol: 'PLAINTEXT' },
});
const kafkaTarget = (topic: string): Fields => ({
  target_name: `${topic}-target`,
  target_type: 'KAFKA_TARGET',
  target_config: { bootstrap_server: brokers, security_protocol: 'PLAINTEXT' },
  subscription_target_table_name: topic,
});
const postgresTarget = (table: string): Fields => {
  const url = new URL(platform.stack.urls.postgres);
  return {
    target_name: `${table}-target`,
    target_type: 'POSTGRESQL_TARGET',
    target_config: { host: url.hostname, port: Number(url.port), database: url.pathname.slice(1), user: url.username, password: url.password },
    subscription_target_table_name: table,
  };
};
const mapper = [
  { key: 'id', path: '$.id', cast: 'int', primary_key: true, nullable: false },
  { key: 'name', path: '$.name', cast: 'string' },
];

const counts = async (id: string): Promise<Fields> => {
  const body = await tenant.api.expectStatus(200, 'GET', `/api/pipelines/${id}/counts`);
  return fieldsOf(body['counts']);
};
const written = (id: string, expected: number): Promise<Fields> =>
  eventually(`${expected} rows written`, async () => {
    const seen = await counts(id);
    return Number(seen['written']) >= expected ? seen : null;
  });

describe('Kafka to Kafka', () => {
  test('moves what is produced after the start, once each, untouched', async () => {
    const [from, to] = [uniqueName('in'), uniqueName('out')];
    await kafka.createTopic(from, 3);
    await kafka.produce(from, numbered(0, 50));
    const id = await startPipeline(tenant, { name: uniqueName('new-only'), ...kafkaSource(from), ...kafkaTarget(to), subscription_backfill: false });
    await kafka.produce(from, numbered(50, 150));
    await written(id, 100);
    const messages = await kafka.readAll(to);
    expect(messages.toSorted((a, b) => a.value.localeCompare(b.value))).toEqual(numbered(50, 150).toSorted((a, b) => a.value.localeCompare(b.value)));
  });

  test('with backfill, moves what was there before as well', async () => {
    const [from, to] = [uniqueName('in'), uniqueName('out')];
    await kafka.createTopic(from, 3);
    await kafka.produce(from, numbered(0, 50));
    const id = await startPipeline(tenant, { name: uniqueName('backfill'), ...kafkaSource(from), ...kafkaTarget(to), subscription_backfill: true });
    await kafka.produce(from, numbered(50, 80));
    await written(id, 80);
    expect(new Set((await kafka.readAll(to)).map((message) => message.value)).size).toBe(80);
    expect(await kafka.readAll(to)).toHaveLength(80);
  });

  test('without backfill, misses nothing of a topic that was made after the start', async () => {
    const [from, to] = [uniqueName('later'), uniqueName('out')];
    const pipeline = await tenant.api.expectStatus(201, 'POST', '/api/pipelines/', {
      name: uniqueName('later'),
      team_id: tenant.teamId,
      ...kafkaSource(from),
      ...kafkaTarget(to),
      subscription_backfill: false,
    });
    const id = String(pipeline['id']);
    await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${id}/start`);
    await waitForState(tenant.api, id, 'error');
    await kafka.createTopic(from, 2);
    await kafka.produce(from, numbered(0, 10));
    await written(id, 10);
  });

  test('goes on by itself once a missing topic is there', async () => {
    const [from, to] = [uniqueName('late'), uniqueName('out')];
    const pipeline = await tenant.api.expectStatus(201, 'POST', '/api/pipelines/', {
      name: uniqueName('late'),
      team_id: tenant.teamId,
      ...kafkaSource(from),
      ...kafkaTarget(to),
      subscription_backfill: true,
    });
    const id = String(pipeline['id']);
    await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${id}/start`);
    const failed = await waitForState(tenant.api, id, 'error');
    expect(JSON.stringify(failed['error'])).toContain(from);
    await kafka.createTopic(from, 1);
    await kafka.produce(from, numbered(0, 5));
    await waitForState(tenant.api, id, 'live', 60_000);
    await written(id, 5);
  });
});

describe('Kafka to PostgreSQL', () => {
  test('goes on exactly where it stopped, and pauses within five seconds', async () => {
    const [from, table] = [uniqueName('in'), uniqueName('rows')];
    await kafka.createTopic(from, 2);
    const id = await startPipeline(tenant, {
      name: uniqueName('pause'),
      ...kafkaSource(from),
      ...postgresTarget(table),
      subscription_backfill: true,
      subscription_mapper_config: mapper,
    });
    await kafka.produce(from, numbered(0, 1000));
    await written(id, 1000);
    await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${id}/pause`);
    const asked = Date.now();
    await eventually(
      'all slots stopped',
      async () => {
        const body = await tenant.api.expectStatus(200, 'GET', `/api/pipelines/${id}/counts`);
        return (body['slots'] as Fields[]).every((slot) => slot['state'] === 'stopped') ? true : null;
      },
      6000,
    );
    expect(Date.now() - asked).toBeLessThan(5000);
    await kafka.produce(from, numbered(1000, 1500));
    const { rows: paused } = await postgres.query<{ n: string }>(`select count(*) n from ${table}`);
    expect(paused[0]?.n).toBe('1000');
    await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${id}/start`);
    await written(id, 1500);
    const { rows } = await postgres.query(`select id, name from ${table} order by id`);
    expect(rows).toEqual(numbered(0, 1500).map(({ value }) => ({ ...(JSON.parse(value) as Fields), id: String((JSON.parse(value) as Fields)['id']) })));
  });

  test('two workers share one pipeline in slices', async () => {
    const [from, table] = [uniqueName('in'), uniqueName('rows')];
    await kafka.createTopic(from, 4);
    await kafka.produce(from, numbered(0, 2000));
    const id = await startPipeline(tenant, {
      name: uniqueName('sliced'),
      parallelism: 4,
      ...kafkaSource(from),
      ...postgresTarget(table),
      subscription_backfill: true,
      subscription_mapper_config: mapper,
    });
    await written(id, 2000);
    const body = await tenant.api.expectStatus(200, 'GET', `/api/pipelines/${id}/counts`);
    expect(body['balanced']).toBe(true);
    expect(body['slots']).toHaveLength(4);
    const { rows } = await postgres.query<{ n: string; d: string }>(`select count(*) n, count(distinct id) d from ${table}`);
    expect(rows[0]).toEqual({ n: '2000', d: '2000' });
  });

  test('changing parallelism keeps every row once', async () => {
    const [from, table] = [uniqueName('in'), uniqueName('rows')];
    await kafka.createTopic(from, 4);
    // Without a key a doubled row would show as a second row.
    const append = mapper.map((column) => ({ ...column, primary_key: false }));
    const id = await startPipeline(tenant, {
      name: uniqueName('resliced'),
      parallelism: 1,
      ...kafkaSource(from),
      ...postgresTarget(table),
      subscription_backfill: true,
      subscription_mapper_config: append,
    });
    await kafka.produce(from, numbered(0, 1000));
    await written(id, 1000);
    await tenant.api.expectStatus(200, 'PATCH', `/api/pipelines/${id}`, { parallelism: 3 });
    await kafka.produce(from, numbered(1000, 2000));
    await eventually('all rows are there', async () => {
      const { rows } = await postgres.query<{ n: string }>(`select count(*) n from ${table}`);
      return Number(rows[0]?.n) >= 2000 ? true : null;
    });
    const { rows } = await postgres.query<{ n: string; d: string }>(`select count(*) n, count(distinct id) d from ${table}`);
    expect(rows[0]).toEqual({ n: '2000', d: '2000' });
  });
});

describe('bad input', () => {
  test('bad rows land in the error table with the reason, the others arrive', async () => {
    const [from, table] = [uniqueName('in'), uniqueName('rows')];
    await kafka.createTopic(from, 1);
    await kafka.produce(from, [
      ...numbered(0, 10),
      { key: 'x', value: 'not json' },
      { key: 'y', value: JSON.stringify({ id: 'eleven', name: 'y' }) },
      { key: 'z', value: JSON.stringify({ name: 'no id' }) },
    ]);
    const id = await startPipeline(tenant, {
      name: uniqueName('rejects'),
      ...kafkaSource(from),
      ...postgresTarget(table),
      subscription_backfill: true,
      subscription_mapper_config: mapper,
    });
    const seen = await written(id, 10);
    await eventually('three are rejected', async () => (Number((await counts(id))['rejected']) === 3 ? true : null));
    expect(seen).toMatchObject({ written: 10 });
    const { rows } = await postgres.query<{ code: string; reason: string; payload: string; origin: Fields }>(
      `select code, reason, payload, origin from ${table}_errors order by code, payload`,
    );
    expect(rows.map((row) => row.code).toSorted()).toEqual(['CAST_FAILED', 'ROW_UNREADABLE', 'VALUE_MISSING']);
    expect(rows.find((row) => row.code === 'CAST_FAILED')?.reason).toMatch(/id.*eleven/);
    expect(rows.find((row) => row.code === 'ROW_UNREADABLE')?.payload).toContain('not json');
    expect(rows.every((row) => row.origin['topic'] === from)).toBe(true);
  });

  test('a wrong broker address names it, and other pipelines go on', async () => {
    const config = { name: uniqueName('nowhere'), team_id: tenant.teamId, ...kafkaSource('t'), ...kafkaTarget(uniqueName('out')), subscription_backfill: true };
    const pipeline = await tenant.api.expectStatus(201, 'POST', '/api/pipelines/', {
      ...config,
      source_config: { topic: 't', bootstrap_servers: '127.0.0.1:1', security_protocol: 'PLAINTEXT' },
    });
    await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${String(pipeline['id'])}/start`);
    const failed = await waitForState(tenant.api, String(pipeline['id']), 'error', 60_000);
    expect(failed['error']).toMatchObject({ code: 'HOST_UNREACHABLE', message: expect.stringContaining('127.0.0.1:1') as string });
  });

  test('a table with a conflicting column names both types', async () => {
    const [from, table] = [uniqueName('in'), uniqueName('rows')];
    await kafka.createTopic(from, 1);
    await postgres.query(`create table ${table} (id bigint primary key, name integer)`);
    const pipeline = await tenant.api.expectStatus(201, 'POST', '/api/pipelines/', {
      name: uniqueName('conflict'),
      team_id: tenant.teamId,
      ...kafkaSource(from),
      ...postgresTarget(table),
      subscription_backfill: true,
      subscription_mapper_config: mapper,
    });
    await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${String(pipeline['id'])}/start`);
    const failed = await waitForState(tenant.api, String(pipeline['id']), 'error');
    expect(failed['error']).toMatchObject({ code: 'SCHEMA_CONFLICT', message: expect.stringMatching(/name/) as string });
  });

  test("another tenant's token sees, starts and changes nothing", async () => {
    const from = uniqueName('in');
    await kafka.createTopic(from, 1);
    const id = await startPipeline(tenant, { name: uniqueName('mine'), ...kafkaSource(from), ...kafkaTarget(uniqueName('out')), subscription_backfill: true });
    const other = await createTenant(platform.gateway, uniqueName('other').replaceAll('_', '-'));
    for (const [method, path, body] of [
      ['GET', `/api/pipelines/${id}`, undefined],
      ['PATCH', `/api/pipelines/${id}`, { name: 'stolen' }],
      ['POST', `/api/pipelines/${id}/pause`, undefined],
      ['DELETE', `/api/pipelines/${id}`, undefined],
      ['GET', `/api/teams/${tenant.teamId}`, undefined],
    ] as const) {
      expect((await other.api.request(method, path, body)).status, `${method} ${path}`).toBe(404);
    }
    expect(await tenant.api.expectStatus(200, 'GET', `/api/pipelines/${id}`)).toMatchObject({ state: 'live' });
  });
});
