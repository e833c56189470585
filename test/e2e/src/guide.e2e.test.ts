// The guide's steps 1 to 8, one after the other, as a new user makes them.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uniqueName } from '@tributary/devstack/testing';
import { startPlatform, type Platform } from '@tributary/devstack/platform';
import { WebSocket } from 'ws';
import { createApi, eventually, fieldsOf, login, pipelineState, waitForState, type Api } from './api.ts';
import { testKafka, type TestKafka } from './kafka.ts';

let platform: Platform;
let brokers: string;
let kafka: TestKafka;
beforeAll(async () => {
  platform = await startPlatform();
  brokers = new URL(platform.stack.urls.kafka).host;
  kafka = testKafka(brokers);
});
afterAll(() => platform?.stop());

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

describe('the guide', () => {
  const name = uniqueName('guide').replaceAll('_', '-');
  const email = `${name}@example.com`;
  const password = 'MySecurePassword123!';
  const topic = uniqueName('user-events');
  const target = uniqueName('events');
  let api: Api;
  let userId: string;
  let teamId: string;
  let pipelineId: string;
  const kafkaSource = () => ({ topic, bootstrap_servers: brokers, consumer_group_id: `${name}-group`, security_protocol: 'PLAINTEXT' });

  test('1: registers, ignoring what a stranger may not set', async () => {
    const anonymous = createApi(platform.gateway);
    const user = await anonymous.expectStatus(201, 'POST', '/api/auth/register', { email, password, is_active: true, is_superuser: true, is_verified: true });
    expect(user).toMatchObject({ id: expect.stringMatching(uuid), email, is_active: true, is_superuser: false, is_verified: false, active_env_id: null });
    userId = String(user['id']);
    expect((await anonymous.request('POST', '/api/auth/register', { email, password, is_active: true })).status).toBe(400);
  });

  test('2: logs in with a form', async () => {
    api = await login(platform.gateway, email, password);
    expect((await createApi(platform.gateway, 'a.b.c').request('GET', '/api/pipelines/')).status).toBe(401);
    expect((await createApi(platform.gateway).request('GET', '/api/pipelines/')).status).toBe(401);
  });

  test('3: creates an environment, which becomes active', async () => {
    const tooEarly = await api.request('POST', '/api/teams/', { name: 'Too early' });
    expect(tooEarly.status).toBe(400);
    expect(String(fieldsOf(tooEarly.body)['detail'])).toMatch(/environment/i);
    const env = await api.expectStatus(201, 'POST', '/api/envs/', { name, description: 'Production data processing environment', use_retention: true });
    expect(env).toMatchObject({
      id: expect.stringMatching(uuid),
      name,
      description: 'Production data processing environment',
      use_retention: true,
      retention_configuration: null,
    });
    expect(await api.expectStatus(200, 'GET', `/api/users/${userId}`)).toMatchObject({ active_env_id: env['id'] });
  });

  test('4: creates a team', async () => {
    const team = await api.expectStatus(201, 'POST', '/api/teams/', { name: 'Data Engineering Team', description: 'Team responsible for ETL pipelines' });
    expect(team).toMatchObject({ id: expect.stringMatching(uuid), name: 'Data Engineering Team', env_id: expect.stringMatching(uuid) });
    teamId = String(team['id']);
  });

  test('5: adds a member and lists the team', async () => {
    const other = await createApi(platform.gateway).expectStatus(201, 'POST', '/api/auth/register', {
      email: `jane-${email}`,
      password: 'SecurePass456!',
      is_active: true,
    });
    await api.expectStatus(204, 'POST', `/api/teams/${teamId}/members/bulk`, { members: [other['id']] });
    const { body } = await api.request('GET', `/api/teams/${teamId}/members`);
    expect(body).toEqual([
      { id: userId, email, role: 'owner' },
      { id: other['id'], email: `jane-${email}`, role: 'member' },
    ]);
  });

  test('6: creates a pipeline with new connectors; nothing secret is answered', async () => {
    await kafka.createTopic(topic, 2);
    const pipeline = await api.expectStatus(201, 'POST', '/api/pipelines/', {
      name: 'kafka-to-kafka-pipeline',
      team_id: teamId,
      source_name: 'kafka-events-source',
      source_type: 'KAFKA_SOURCE',
      source_config: { ...kafkaSource(), sasl_username: 'kafka_user', sasl_password: 'canary-secret' },
      target_name: 'kafka-target',
      target_type: 'KAFKA_TARGET',
      target_config: { bootstrap_server: brokers, security_protocol: 'PLAINTEXT' },
      subscription_target_table_name: target,
      subscription_backfill: false,
      subscription_mapper_config: [
        { key: 'user_id', path: '$.user_id', cast: 'string', primary_key: true, nullable: false },
        { key: 'event_type', path: '$.event_type', cast: 'string', primary_key: false, nullable: false },
      ],
    });
    expect(pipeline).toMatchObject({
      id: expect.stringMatching(uuid),
      name: 'kafka-to-kafka-pipeline',
      state: 'draft',
      version: 1,
      team_id: teamId,
      team_name: 'Data Engineering Team',
      existing_source_id: null,
      source_name: 'kafka-events-source',
      source_type: 'KAFKA_SOURCE',
      existing_target_id: null,
      target_type: 'KAFKA_TARGET',
      subscription_target_table_name: target,
      subscription_backfill: false,
    });
    expect(JSON.stringify(pipeline)).not.toContain('canary-secret');
    pipelineId = String(pipeline['id']);
  });

  test('6: refuses both approaches on one side, a missing field, an unknown field and a bad name', async () => {
    const cases = [
      [{ name: 'both', existing_source_id: pipelineId, source_name: 'x', source_type: 'KAFKA_SOURCE', source_config: kafkaSource() }, /Cannot specify both/],
      [{ name: 'half', source_type: 'KAFKA_SOURCE', source_config: kafkaSource() }, /source_name.*field required.*value_error.missing/],
      [{ name: 'extra', sorce_name: 'x' }, /sorce_name/],
      [{ name: 'bad name' }, /name/],
    ] as const;
    for (const [body, message] of cases) {
      const answer = await api.request('POST', '/api/pipelines/', { team_id: teamId, ...body });
      expect(answer.status, JSON.stringify(answer.body)).toBe(422);
      expect(JSON.stringify(fieldsOf(answer.body)['detail'])).toMatch(message);
    }
  });

  test('7: updates by the three patterns', async () => {
    expect(await api.expectStatus(200, 'PATCH', `/api/pipelines/${pipelineId}`, { name: 'updated-pipeline-name' })).toMatchObject({
      name: 'updated-pipeline-name',
    });
    const source = await api.expectStatus(201, 'POST', '/api/connectors/', {
      name: 'shared-source',
      type: 'KAFKA_SOURCE',
      config: kafkaSource(),
      team_id: teamId,
    });
    const switched = await api.expectStatus(200, 'PATCH', `/api/pipelines/${pipelineId}`, {
      existing_source_id: source['id'],
      source_name: null,
      source_type: null,
      source_config: null,
    });
    expect(switched).toMatchObject({ existing_source_id: source['id'] });
    const subscribed = await api.expectStatus(200, 'PATCH', `/api/pipelines/${pipelineId}`, {
      subscription_target_table_name: target,
      subscription_backfill: true,
      subscription_mapper_config: [{ key: 'user_id', path: '$.user_id', cast: 'string', primary_key: true, nullable: false }],
    });
    expect(subscribed).toMatchObject({ subscription_backfill: true });
    expect(Number(subscribed['version'])).toBeGreaterThan(1);
  });

  test('8: starts, runs, streams its log, pauses and lists', async () => {
    await kafka.produce(topic, [{ key: 'u1', value: JSON.stringify({ user_id: 'u1', event_type: 'signup' }) }]);
    expect((await api.request('POST', `/api/pipelines/${pipelineId}/start`)).body).toBe('BUILDING');
    await waitForState(api, pipelineId, 'live');
    await eventually('the message arrived', async () => ((await kafka.readAll(target)).length === 1 ? true : null));
    expect(JSON.parse((await kafka.readAll(target))[0]?.value ?? '')).toEqual({ user_id: 'u1' });

    const lines: string[] = [];
    const socket = new WebSocket(`${platform.gateway.replace('http', 'ws')}/api/pipelines/${pipelineId}/logs`, ['Authorization', String(api.token)]);
    socket.on('message', (data: Buffer) => lines.push(data.toString()));
    await eventually('history arrives', async () => (lines.length > 0 ? true : null));
    const before = lines.length;

    const asked = Date.now();
    expect((await api.request('POST', `/api/pipelines/${pipelineId}/pause`)).body).toBe('PAUSED');
    expect(await pipelineState(api, pipelineId)).toMatchObject({ state: 'paused' });
    await eventually('a live line about the pause arrives', async () => (lines.length > before ? true : null), 5000);
    expect(Date.now() - asked).toBeLessThan(5000);
    socket.close();

    expect(await api.expectStatus(200, 'GET', '/api/pipelines/?state=paused')).toMatchObject({ total: 1, page: 1, pages: 1 });
    expect(await api.expectStatus(200, 'GET', '/api/pipelines/count-status')).toMatchObject({ all: 1, draft: 0, live: 0, paused: 1, error: 0, building: 0 });
    expect(await api.expectStatus(200, 'GET', '/api/pipelines/?search=updated&skip=0&limit=50')).toMatchObject({ total: 1 });
  });

  test("refuses a log stream to a stranger and another tenant's token", async () => {
    const closedWith = (token: string): Promise<number> =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${platform.gateway.replace('http', 'ws')}/api/pipelines/${pipelineId}/logs`, {
          headers: { authorization: `Bearer ${token}` },
        });
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
        socket.on('open', () => resolve(101));
        socket.on('error', () => undefined);
      });
    const stranger = `stranger-${email}`;
    await createApi(platform.gateway).expectStatus(201, 'POST', '/api/auth/register', { email: stranger, password, is_active: true });
    const other = await login(platform.gateway, stranger, password);
    expect(await closedWith('nonsense')).toBe(401);
    expect(await closedWith(String(other.token))).toBe(404);
  });

  test('deletes the pipeline', async () => {
    await api.expectStatus(204, 'DELETE', `/api/pipelines/${pipelineId}`);
    expect((await api.request('GET', `/api/pipelines/${pipelineId}`)).status).toBe(404);
  });
});
