// Connections: made, tried, changed and deleted, their secrets never shown.
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { MongoClient } from 'mongodb';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPlatform, type Platform } from '@tributary/devstack/platform';
import { uniqueName } from '@tributary/devstack/testing';
import { createApi, createTenant, eventually, fieldsOf, startPipeline, type Fields, type Tenant } from './api.ts';
import { testKafka } from './kafka.ts';

const canary = 'canary-secret-7f3a';
let platform: Platform;
let tenant: Tenant;
let brokers: string;

beforeAll(async () => {
  platform = await startPlatform();
  brokers = new URL(platform.stack.urls.kafka).host;
  tenant = await createTenant(platform.gateway, uniqueName('connectors').replaceAll('_', '-'));
});
afterAll(() => platform?.stop());

const postgresConfig = (): Fields => {
  const url = new URL(platform.stack.urls.postgres);
  return { host: url.hostname, port: Number(url.port), database: url.pathname.slice(1), user: url.username, password: url.password };
};

describe('connections', () => {
  test('refuse without a token', async () => {
    for (const [method, path] of [
      ['GET', '/api/connectors/source-config'],
      ['POST', '/api/connectors/'],
      ['POST', '/api/connector-types/kafka-source/check-credentials'],
      ['GET', '/api/connector-types'],
    ] as const) {
      expect((await createApi(platform.gateway).request(method, path, method === 'POST' ? {} : undefined)).status, path).toBe(401);
    }
  });

  test('answer secrets as <redacted>, keep them sealed, and keep them through a change that leaves them out', async () => {
    const made = await tenant.api.expectStatus(201, 'POST', '/api/connectors/', {
      name: 'warehouse',
      type: 'postgresql_target',
      config: { ...postgresConfig(), password: canary },
      team_id: tenant.teamId,
    });
    expect(made).toMatchObject({ type: 'POSTGRESQL_TARGET', config: { password: '<redacted>' } });
    const id = String(made['id']);
    const changed = await tenant.api.expectStatus(200, 'PATCH', `/api/connectors/${id}`, {
      config: { ...postgresConfig(), password: '<redacted>', schema: 'other' },
    });
    expect(changed).toMatchObject({ config: { password: '<redacted>', schema: 'other' } });
    const listed = await tenant.api.expectStatus(200, 'GET', '/api/connectors/target-config?search=WARE');
    expect(listed).toMatchObject({ total: 1, items: [{ id }] });
    expect(JSON.stringify([made, changed, listed])).not.toContain(canary);

    const mongo = new MongoClient(platform.stack.urls.mongodb);
    const stored = await mongo.db('tributary').collection<{ _id: string; sealed: Fields }>('connections').findOne({ _id: id });
    await mongo.close();
    expect(JSON.stringify(stored)).not.toContain(canary);
    expect(String(stored?.sealed['password'])).toMatch(/^gAAAAA/);
  });

  test('refuse an unknown type, an unknown field and a wrong value, naming them', async () => {
    const unknown = await tenant.api.request('POST', '/api/connectors/', { name: 'x', type: 'NO_SUCH_SOURCE', config: {} });
    expect(unknown.status).toBe(400);
    expect(String(fieldsOf(unknown.body)['detail'])).toContain('NO_SUCH_SOURCE');
    const wrong = await tenant.api.request('POST', '/api/connectors/', {
      name: 'x',
      type: 'POSTGRESQL_TARGET',
      config: { ...postgresConfig(), port: 'many', pasword: 'x' },
    });
    expect(wrong.status).toBe(422);
    expect(JSON.stringify(fieldsOf(wrong.body)['detail'])).toMatch(/"config","port".*"config","pasword"|"config","pasword".*"config","port"/);
    expect(JSON.stringify(wrong.body)).not.toContain(String(postgresConfig()['password']));
  });

  test("are not there for another tenant's token", async () => {
    const made = await tenant.api.expectStatus(201, 'POST', '/api/connectors/', { name: 'mine', type: 'POSTGRESQL_TARGET', config: postgresConfig() });
    const other = await createTenant(platform.gateway, uniqueName('other').replaceAll('_', '-'));
    for (const [method, body] of [
      ['GET', undefined],
      ['PATCH', { name: 'stolen' }],
      ['DELETE', undefined],
    ] as const) {
      expect((await other.api.request(method, `/api/connectors/${String(made['id'])}`, body)).status, method).toBe(404);
    }
    const internal = await other.api.request('GET', `/internal/connections/${String(made['id'])}/worker-config`);
    expect(internal.status).toBe(404);
  });

  test('cannot be deleted while a pipeline uses them', async () => {
    const target = await tenant.api.expectStatus(201, 'POST', '/api/connectors/', {
      name: 'used',
      type: 'POSTGRESQL_TARGET',
      config: postgresConfig(),
      team_id: tenant.teamId,
    });
    const pipeline = await tenant.api.expectStatus(201, 'POST', '/api/pipelines/', {
      name: 'user-of-it',
      team_id: tenant.teamId,
      source_name: 's',
      source_type: 'KAFKA_SOURCE',
      source_config: { topic: 't', bootstrap_servers: brokers },
      existing_target_id: target['id'],
      subscription_target_table_name: 'rows',
    });
    const refused = await tenant.api.request('DELETE', `/api/connectors/${String(target['id'])}`);
    expect(refused.status).toBe(400);
    expect(String(fieldsOf(refused.body)['detail'])).toContain('user-of-it');
    await tenant.api.expectStatus(204, 'DELETE', `/api/pipelines/${String(pipeline['id'])}`);
    await tenant.api.expectStatus(204, 'DELETE', `/api/connectors/${String(target['id'])}`);
  });
});

describe('trying a configuration', () => {
  test('tells success, and names the step that failed', async () => {
    const good = await tenant.api.expectStatus(200, 'POST', '/api/connector-types/postgresql-target/check-credentials', postgresConfig());
    expect(good).toMatchObject({ is_success: true, message: expect.any(String) as string });
    const wrongPassword = await tenant.api.expectStatus(200, 'POST', '/api/connector-types/postgresql-target/check-credentials', {
      ...postgresConfig(),
      password: canary,
    });
    expect(wrongPassword).toMatchObject({ is_success: false });
    expect(JSON.stringify(wrongPassword)).not.toContain(canary);
    const closed = await tenant.api.expectStatus(200, 'POST', '/api/kafka-source/check-credentials', { topic: 't', bootstrap_servers: '127.0.0.1:1' });
    expect(closed).toMatchObject({ is_success: false, message: expect.stringContaining('127.0.0.1:1') as string });
  });

  test('names a broker that accepts connections and never answers', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => void sockets.push(socket.on('error', () => {})));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(mute.address() as AddressInfo).port}`;
    try {
      const answer = await tenant.api.expectStatus(200, 'POST', '/api/kafka-source/check-credentials', { topic: 't', bootstrap_servers: address });
      expect(answer).toMatchObject({ is_success: false, message: expect.stringContaining(address) as string });
    } finally {
      for (const socket of sockets) socket.destroy();
      mute.close();
    }
  });

  test("hides and refuses the platform's own topics", async () => {
    const { topics } = await tenant.api.expectStatus(200, 'POST', '/api/kafka-source/list-topics', { bootstrap_servers: brokers });
    expect((topics as string[]).filter((topic) => /^(tributary\.|__|_tributary_checkpoints)/.test(topic))).toEqual([]);
    expect((await tenant.api.request('POST', '/api/kafka-source/list-topics', {})).status).toBe(422);
    const config = { topic: 'tributary.pipeline-commands', bootstrap_servers: brokers };
    const refused = await tenant.api.request('POST', '/api/connectors/', { name: 'x', type: 'KAFKA_SOURCE', config });
    expect(refused).toMatchObject({
      status: 422,
      body: { detail: [{ loc: ['body', 'config', 'topic'], msg: expect.stringContaining('reserved') as string }] },
    });
    expect((await tenant.api.request('POST', '/api/kafka-source/fetch-messages', config)).status).toBe(422);
  });

  test('lists topics before one is chosen, and fetches the newest messages', async () => {
    const topic = uniqueName('sampled');
    const kafka = testKafka(brokers);
    await kafka.createTopic(topic, 1);
    await kafka.produce(
      topic,
      [1, 2, 3].map((n) => ({ key: null, value: JSON.stringify({ n }) })),
    );
    const topics = await tenant.api.expectStatus(200, 'POST', '/api/connector-types/kafka-source/list-topics', {
      bootstrap_servers: brokers,
      security_protocol: 'PLAINTEXT',
    });
    expect(topics['topics']).toContain(topic);
    const sample = await tenant.api.expectStatus(200, 'POST', '/api/connector-types/kafka-source/fetch-messages?limit=2', {
      topic,
      bootstrap_servers: brokers,
    });
    expect(sample['messages']).toEqual([{ n: 2 }, { n: 3 }]);
  });

  test('says which types there are, with their schema', async () => {
    const { body } = await tenant.api.request('GET', '/api/connector-types');
    const types = (body as Fields[]).map((type) => type['type']);
    expect(types).toEqual(
      expect.arrayContaining(['DUCKDB_TARGET', 'FILE_SOURCE', 'FILE_TARGET', 'KAFKA_SOURCE', 'KAFKA_TARGET', 'POSTGRESQL_SOURCE', 'POSTGRESQL_TARGET']),
    );
    const unknown = await tenant.api.request('POST', '/api/connector-types/nothing-source/check-credentials', {});
    expect(unknown).toMatchObject({ status: 404, body: { help: expect.stringContaining('/api/connector-types') as string } });
  });
});

test('deletes by bare keys arrive, and a message nested too deep is put aside', async () => {
  const topic = uniqueName('deep');
  const table = uniqueName('deep_rows');
  const kafka = testKafka(brokers);
  await kafka.createTopic(topic, 1);
  await kafka.produce(topic, [
    { key: '1', value: '{"id":1,"j":[[1]]}' },
    { key: '2', value: '{"id":2,"j":null}' },
    { key: '3', value: `{"id":3,"j":${'['.repeat(12_000)}${']'.repeat(12_000)}}` },
    { key: '2', value: null },
    { key: '4', value: '{"id":4,"j":"[2]"}' },
  ]);
  const id = await startPipeline(tenant, {
    name: uniqueName('deep'),
    source_name: 'source',
    source_type: 'KAFKA_SOURCE',
    source_config: { topic, bootstrap_servers: brokers },
    target_name: 'target',
    target_type: 'POSTGRESQL_TARGET',
    target_config: postgresConfig(),
    subscription_target_table_name: table,
    subscription_backfill: true,
    subscription_mapper_config: [
      { key: 'id', path: '$.id', cast: 'int', primary_key: true },
      { key: 'j', path: '$.j', cast: 'json' },
    ],
  });
  const client = new pg.Client({ connectionString: platform.stack.urls.postgres });
  await client.connect();
  try {
    await eventually('the last row', async () => ((await client.query(`select 1 from "${table}" where id = 4`)).rowCount === 1 ? true : null));
    expect((await client.query(`select id::int, j::text from "${table}" order by id`)).rows).toEqual([
      { id: 1, j: '[[1]]' },
      { id: 4, j: '[2]' },
    ]);
    const { rows } = await client.query<{ code: string; reason: string }>(`select code, reason from "${table}_errors"`);
    expect(rows).toEqual([{ code: 'ROW_UNREADABLE', reason: expect.stringContaining('deeper than 1000 levels') as string }]);
  } finally {
    await client.end();
    await tenant.api.expectStatus(204, 'DELETE', `/api/pipelines/${id}`);
  }
});

describe('requests that cannot be right', () => {
  const send = (path: string, contentType: string | null, body: string): Promise<Response> =>
    fetch(`${platform.gateway}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tenant.api.token}`, ...(contentType === null ? {} : { 'content-type': contentType }) },
      body: Buffer.from(body),
    });

  test('are told which path, content type or token they need', async () => {
    expect(await tenant.api.request('GET', '/api/no-such-thing')).toMatchObject({
      status: 404,
      body: { error_code: 'ROUTE_NOT_FOUND', help: expect.stringContaining('/api/docs') as string },
    });
    for (const [path, contentType, body, expected] of [
      ['/api/teams/', 'text/plain', '{"name":"x"}', 'application/json'],
      ['/api/teams/', null, '{"name":"x"}', 'application/json'],
      ['/api/auth/jwt/login', 'application/json', '{"username":"a","password":"b"}', 'application/x-www-form-urlencoded'],
    ] as const) {
      const response = await send(path, contentType, body);
      expect([response.status, await response.json()], path).toMatchObject([415, { detail: expect.stringContaining(expected) as string }]);
    }
    const path = '/api/pipelines/any/worker-config';
    expect(await tenant.api.request('GET', path)).toMatchObject({ status: 403, body: { detail: expect.stringContaining('service token') as string } });
    for (const token of [null, 'nonsense']) expect((await createApi(platform.gateway, token).request('GET', path)).status).toBe(401);
  });

  test('name each wrong field once', async () => {
    const pipeline = { name: 'p', team_id: tenant.teamId };
    const refused = async (body: Fields): Promise<unknown> => {
      const answer = await tenant.api.request('POST', '/api/pipelines/', { ...pipeline, ...body });
      expect(answer.status, JSON.stringify(answer.body)).toBe(422);
      return (fieldsOf(answer.body)['detail'] as Fields[]).map(({ loc }) => loc);
    };
    expect(await refused({ team_id: [] })).toEqual([['body', 'team_id']]);
    expect(await refused({ subscription_target_table_name: 'a\0b' })).toEqual([['body', 'subscription_target_table_name']]);
    const mapper = 'subscription_mapper_config';
    expect(await refused({ [mapper]: [{ key: 'a', path: '$.a', static: 1 }] })).toEqual([['body', mapper, 0, 'static']]);
    expect(await refused({ [mapper]: [{ key: 'a', path: '$.a', cast: 'int', cast_format: '%Y' }] })).toEqual([['body', mapper, 0, 'cast_format']]);
    expect(await tenant.api.request('GET', '/api/pipelines/?limit=many')).toMatchObject({
      status: 422,
      body: { detail: [{ loc: ['query', 'limit'], msg: 'must be a number' }] },
    });
  });
});
