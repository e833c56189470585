import { afterAll, beforeAll, expect, test } from 'vitest';
import { pipelineEndpoints, pipelineView, type PipelineView } from '@tributary/contracts/api/pipelines';
import { openToStrangers, serviceToken, startTestService, type Answer, type Tenant, type TestService } from '../../service.fixture.ts';

let service: TestService;
let owner: Tenant;
beforeAll(async () => {
  service = await startTestService({ connectors: true });
  owner = await service.tenant();
});
afterAll(() => service.stop());

const source = {
  source_name: 'kafka-events-source',
  source_type: 'KAFKA_SOURCE',
  source_config: {
    topic: 'user-events',
    bootstrap_servers: 'kafka:9092',
    sasl_username: 'kafka_user',
    sasl_password: 'kafka_pass',
    sasl_mechanism: 'PLAIN',
    security_protocol: 'SASL_PLAINTEXT',
  },
};
const target = { target_name: 'kafka-copy', target_type: 'KAFKA_TARGET', target_config: { bootstrap_server: 'kafka:9092', security_protocol: 'PLAINTEXT' } };
const subscription = { subscription_target_table_name: 'events', subscription_backfill: false };

let made = 0;
const create = (fields: object, who: Tenant = owner): Promise<Answer> =>
  service.call('POST', '/api/pipelines/', { token: who.token, body: { name: `pipeline-${(made += 1)}`, team_id: who.teamId, ...fields } });
const whole = async (fields: object = {}): Promise<PipelineView> =>
  pipelineView.parse((await create({ ...source, ...target, ...subscription, ...fields })).body);
const patch = (id: string, body: object, who: Tenant = owner): Promise<Answer> => service.call('PATCH', `/api/pipelines/${id}`, { token: who.token, body });
const act = (id: string, verb: 'start' | 'pause', who: Tenant = owner): Promise<Answer> =>
  service.call('POST', `/api/pipelines/${id}/${verb}`, { token: who.token });
const stored = async (id: string) => {
  const doc = await service.stores.pipelines.findOne({ _id: id }).lean();
  if (doc === null) throw new Error(`no pipeline ${id}`);
  return doc;
};
const connectionIds = async (): Promise<string[]> =>
  (
    await service.stores.pipelines.db
      .collection('connections')
      .find({}, { projection: { _id: 1 } })
      .toArray()
  ).map((found) => String(found._id));

test('refuses without a token', async () => {
  expect(await openToStrangers(service, pipelineEndpoints)).toEqual([]);
});

test('makes a pipeline with new connectors and answers as the guide shows', async () => {
  const mapper = [{ key: 'user_id', path: '$.user_id', cast: 'string', primary_key: true, nullable: false }];
  const { status, body } = await create({ ...source, ...target, ...subscription, name: 'kafka-to-kafka', subscription_mapper_config: mapper });
  expect(status).toBe(201);
  expect(pipelineView.parse(body)).toEqual(body);
  expect(body).toMatchObject({
    name: 'kafka-to-kafka',
    state: 'draft',
    version: 1,
    team_id: owner.teamId,
    team_name: 'Data Engineering Team',
    existing_source_id: null,
    source_name: 'kafka-events-source',
    source_type: 'KAFKA_SOURCE',
    source_config: { topic: 'user-events', sasl_password: '<redacted>' },
    existing_target_id: null,
    target_type: 'KAFKA_TARGET',
    ...subscription,
    subscription_mapper_config: mapper,
    subscription_error_table_enabled: true,
    subscription_error_table_name: 'events_errors',
    error: null,
  });
  expect(JSON.stringify(body)).not.toContain('kafka_pass');
  expect(await service.stores.claims.countDocuments()).toBe(0);
});

test('makes a pipeline with existing connectors of the environment', async () => {
  const first = await stored((await whole()).id);
  const ids = { existing_source_id: first.source?.connection_id, existing_target_id: first.target?.connection_id };
  const second = await create({ ...ids, ...subscription });
  expect(second.body).toMatchObject({ ...ids, source_type: 'KAFKA_SOURCE', source_name: 'kafka-events-source' });
  const swapped = await create({ existing_source_id: ids.existing_target_id });
  expect([swapped.status, swapped.body.detail]).toEqual([422, [expect.objectContaining({ loc: ['body', 'existing_source_id'] })]]);
  const stranger = await service.tenant();
  expect((await create(ids, stranger)).status).toBe(404);
});

test('names what is wrong in the fields of the request', async () => {
  const detail = async (fields: object): Promise<unknown> => {
    const { status, body } = await create(fields);
    expect(status).toBe(422);
    return body.detail;
  };
  expect(await detail({ ...source, source_name: undefined })).toEqual([{ loc: ['body', 'source_name'], msg: 'field required', type: 'value_error.missing' }]);
  expect(await detail({ ...source, existing_source_id: 'some-id' })).toEqual([
    { loc: ['body', 'existing_source_id'], msg: expect.stringContaining('Cannot specify both'), type: 'value_error.custom' },
  ]);
  expect(await detail({ ...source, source_config: { bootstrap_servers: 'kafka:9092' } })).toEqual([
    { loc: ['body', 'source_config', 'topic'], msg: 'field required', type: 'value_error.missing' },
  ]);
  expect(await detail({ ...source, source_type: 'KAFKA_TARGET' })).toEqual([expect.objectContaining({ loc: ['body', 'source_type'] })]);
  expect(await detail({ name: 'pipeline name' })).toEqual([expect.objectContaining({ loc: ['body', 'name'] })]);
  expect(await detail({ colour: 'red' })).toEqual([{ loc: ['body', 'colour'], msg: 'extra fields not permitted', type: 'value_error.extra' }]);
  expect(await detail({ subscription_mapper_config: [{ key: 'a', path: '$.a', cast: 'integer' }] })).toEqual([
    expect.objectContaining({ loc: ['body', 'subscription_mapper_config', 0, 'cast'] }),
  ]);
  expect(await detail({ subscription_mapper_config: [{ key: 'a', path: '$.a[' }] })).toEqual([
    { loc: ['body', 'subscription_mapper_config'], msg: expect.stringContaining('"a"'), type: 'value_error' },
  ]);
  expect(await detail({ ...source, ...target, subscription_error_table_target_id: 'elsewhere' })).toEqual([
    expect.objectContaining({ loc: ['body', 'subscription_error_table_target_id'] }),
  ]);
  expect(await detail({ ...source, source_config: { ...source.source_config, sasl_password: '<redacted>', topic: 7 } })).toEqual([
    expect.objectContaining({ loc: ['body', 'source_config', 'topic'] }),
  ]);
});

test('a failed creation leaves no connection behind', async () => {
  const before = await connectionIds();
  expect((await create({ ...source, ...target, target_config: {} })).status).toBe(422);
  expect((await create({ ...source, ...target, name: 'kafka-to-kafka' })).status).toBe(400);
  const at = await Promise.all([1, 2, 3].map(() => create({ ...source, name: 'at-once' })));
  expect(at.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([201, 400, 400]);
  expect(await connectionIds()).toHaveLength(before.length + 1);
  expect(await service.stores.claims.countDocuments()).toBe(0);
});

test('what a crash left behind is swept, what is in use stays', async () => {
  const used = await stored((await whole()).id);
  const orphan = await stored((await whole()).id);
  const kept = used.source?.connection_id ?? '';
  const left = orphan.source?.connection_id ?? '';
  await service.stores.pipelines.deleteOne({ _id: orphan._id });
  const at = new Date(Date.now() - 3_600_000);
  await service.stores.claims.insertMany([kept, left].map((_id) => ({ _id, env_id: owner.envId, at })));
  await service.domain.claims.sweep();
  const ids = await connectionIds();
  expect([ids.includes(kept), ids.includes(left)]).toEqual([true, false]);
  expect(await service.stores.claims.countDocuments()).toBe(0);
});

test('starts, and stores the command with the state', async () => {
  const { id, subscription_id } = await whole({ parallelism: 3 });
  const started = await act(id, 'start');
  expect([started.status, started.body]).toEqual([202, 'BUILDING']);
  expect(service.nudges()).toBeGreaterThan(0);
  const doc = await stored(id);
  expect([doc.state, doc.generation, doc.outbox_pending]).toEqual(['building', 1, true]);
  expect(doc.outbox).toEqual([
    expect.objectContaining({
      name: 'pipeline.start-requested.v1',
      key: id,
      seq: 1,
      data: { pipeline_id: id, env_id: owner.envId, generation: 1, version: 1, subscriptions: [{ subscription_id, slices: 3 }] },
    }),
  ]);
  await act(id, 'start');
  expect((await stored(id)).generation).toBe(1);
  expect((await act(id, 'pause')).body).toBe('PAUSED');
  expect((await service.call('GET', `/api/pipelines/${id}`, { token: owner.token })).body['state']).toBe('paused');
  expect((await stored(id)).outbox.map((event) => [event.name, event.seq])).toEqual([
    ['pipeline.start-requested.v1', 1],
    ['pipeline.pause-requested.v2', 2],
  ]);
});

test('says what is missing before it starts, and that a draft cannot be paused', async () => {
  const draft = await create(source);
  expect(draft.status).toBe(201);
  const { status, body } = await act(String(draft.body.id), 'start');
  expect([status, body.detail]).toEqual([400, expect.stringMatching(/target_name.*subscription_target_table_name/)]);
  expect((await act(String(draft.body.id), 'pause')).status).toBe(400);
});

test('pattern 1: a new name is a new version and restarts nothing', async () => {
  const { id } = await whole();
  await act(id, 'start');
  const { status, body } = await patch(id, { name: 'updated-pipeline-name' });
  expect([status, body['name'], body['version']]).toEqual([200, 'updated-pipeline-name', 2]);
  expect((await stored(id)).generation).toBe(1);
  expect((await patch(id, { name: 'updated-pipeline-name' })).body['version']).toBe(2);
});

test('pattern 2: switches to an existing connector, and deletes the one it made', async () => {
  const other = await stored((await whole()).id);
  const { id } = await whole();
  const left = (await stored(id)).source?.connection_id ?? '';
  const existing = other.source?.connection_id ?? '';
  const { status, body } = await patch(id, { existing_source_id: existing, source_name: null, source_type: null, source_config: null });
  expect([status, body['existing_source_id'], body['version']]).toEqual([200, existing, 2]);
  expect(await connectionIds()).not.toContain(left);
  const both = await patch(id, { existing_source_id: existing, ...source });
  expect([both.status, JSON.stringify(both.body.detail)]).toEqual([422, expect.stringContaining('Cannot specify both')]);
});

test('pattern 3: the subscription changes, and a running pipeline goes on with it', async () => {
  const { id, subscription_id } = await whole();
  await act(id, 'start');
  const mapper = [{ key: 'a', path: '$.a' }];
  const { body } = await patch(id, { subscription_target_table_name: 'new_table', subscription_backfill: true, subscription_mapper_config: mapper });
  expect(body).toMatchObject({
    subscription_target_table_name: 'new_table',
    subscription_backfill: true,
    subscription_mapper_config: mapper,
    subscription_error_table_name: 'new_table_errors',
    version: 2,
    subscription_id,
    state: 'building',
  });
  const doc = await stored(id);
  expect(doc.outbox.at(-1)).toMatchObject({ name: 'pipeline.start-requested.v1', data: { generation: 2, version: 2 } });
  const broken = await patch(id, { subscription_target_table_name: null });
  expect(broken.status).toBe(400);
});

test('a new config keeps secrets that are left out, replaces the rest, and another topic begins anew', async () => {
  const { id, subscription_id, source_config } = await whole();
  const same = await patch(id, { source_config: { ...source_config, bootstrap_servers: 'other:9092' } });
  expect(same.body).toMatchObject({ subscription_id, version: 2, source_config: { bootstrap_servers: 'other:9092', sasl_password: '<redacted>' } });
  const { status, body } = await patch(id, {
    source_config: { topic: 'new-topic', bootstrap_servers: 'kafka.company.com:9092', consumer_group_id: 'updated-consumer' },
    subscription_backfill: true,
  });
  expect(status).toBe(200);
  expect(body['source_config']).toEqual({
    topic: 'new-topic',
    bootstrap_servers: 'kafka.company.com:9092',
    consumer_group_id: 'updated-consumer',
    sasl_password: '<redacted>',
  });
  // A checkpoint of the old topic's partitions says nothing about the new topic's.
  expect(body['subscription_id']).not.toBe(subscription_id);
  expect(body['subscription_consumer_id']).toBe(`tributary-${String(body['subscription_id'])}`);
});

test('a connector changed at its own door gives its running pipelines a new version', async () => {
  const { id, subscription_id } = await whole();
  await act(id, 'start');
  const connectionId = (await stored(id)).source?.connection_id ?? '';
  const change = async (config: object): Promise<number> =>
    (
      await fetch(`${service.connectorsUrl}/api/connectors/${connectionId}`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${owner.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ config }),
      })
    ).status;
  expect(await change({ topic: 'user-events', bootstrap_servers: 'other:9092' })).toBe(200);
  const restarted = await stored(id);
  expect([restarted.version, restarted.generation, restarted.subscriptions[0]?.id]).toEqual([2, 2, subscription_id]);
  expect(restarted.outbox.at(-1)).toMatchObject({ name: 'pipeline.start-requested.v1', data: { generation: 2, version: 2 } });
  expect(await change({ topic: 'other-events', bootstrap_servers: 'other:9092' })).toBe(200);
  expect((await stored(id)).subscriptions[0]?.id).not.toBe(subscription_id);
});

test('lists with filters, pages, counts and finds', async () => {
  const who = await service.tenant();
  const names = ['kafka-one', 'kafka-two', 'other'];
  for (const name of names) await create({ name, ...source, ...target, ...subscription }, who);
  const list = async (query: string): Promise<{ items: PipelineView[]; total: number; page: number; pages: number }> =>
    (await service.call('GET', `/api/pipelines/${query}`, { token: who.token })).body as never;
  expect((await list('')).items.map((one) => one.name)).toEqual(names.toReversed());
  expect((await list('?search=KAFKA')).total).toBe(2);
  expect(await list('?skip=2&limit=2')).toMatchObject({ total: 3, page: 2, size: 2, pages: 2, items: [{ name: 'kafka-one' }] });
  expect(await list('?page=2&size=2')).toMatchObject({ page: 2, items: [{ name: 'kafka-one' }] });
  expect((await list(`?team_id=${who.teamId}`)).total).toBe(3);
  const first = (await list('?search=kafka-one')).items[0];
  await act(first?.id ?? '', 'start', who);
  expect((await list('?state=building')).items.map((one) => one.name)).toEqual(['kafka-one']);
  await act(first?.id ?? '', 'pause', who);
  expect((await list('?state=paused')).total).toBe(1);
  expect((await service.call('GET', '/api/pipelines/count-status', { token: who.token })).body).toEqual({
    all: 3,
    draft: 2,
    building: 0,
    live: 0,
    paused: 1,
    error: 0,
  });
  expect((await service.call('GET', '/api/pipelines/status/all-non-draft', { token: who.token })).body).toMatchObject({
    total: 1,
    items: [{ name: 'kafka-one', state: 'paused' }],
  });
  expect((await service.call('GET', '/api/pipelines/filter-one?name=other', { token: who.token })).body['name']).toBe('other');
  expect((await service.call('GET', `/api/pipelines/${first?.id}/status`, { token: who.token })).body['state']).toBe('paused');
});

test('pipelines of another environment are not there, and strangers to the team may only look', async () => {
  const { id } = await whole();
  const stranger = await service.tenant();
  for (const [method, path, body] of [
    ['GET', ''],
    ['PATCH', '', {}],
    ['DELETE', ''],
    ['POST', '/start'],
    ['POST', '/pause'],
    ['GET', '/counts'],
    ['GET', '/configuration'],
    ['GET', '/latency-informations'],
  ] as const) {
    expect((await service.call(method, `/api/pipelines/${id}${path}`, { token: stranger.token, body })).status).toBe(404);
  }
  expect((await create({ team_id: owner.teamId }, stranger)).status).toBe(404);
  const colleague = await service.person();
  const team = await service.call('POST', '/api/teams/', { token: owner.token, body: { name: 'Others' } });
  await service.call('POST', `/api/teams/${team.body.id}/members/bulk`, { token: owner.token, body: { members: [colleague.id] } });
  expect((await service.call('GET', `/api/pipelines/${id}`, { token: colleague.token })).status).toBe(200);
  expect((await service.call('POST', `/api/pipelines/${id}/start`, { token: colleague.token })).status).toBe(403);
});

test('an exported configuration can be imported again, and holds no secret', async () => {
  const { id } = await whole({ subscription_consumer_id: 'mine', parallelism: 2 });
  const exported = await service.call('GET', `/api/pipelines/${id}/configuration`, { token: owner.token });
  expect(JSON.stringify(exported.body)).not.toContain('kafka_pass');
  await patch(id, { parallelism: 5, subscription_consumer_id: 'other', source_config: { topic: 't', bootstrap_servers: 'b:1' } });
  const imported = await service.call('POST', `/api/pipelines/${id}/configuration`, { token: owner.token, body: exported.body });
  expect(imported.status).toBe(200);
  expect((await service.call('GET', `/api/pipelines/${id}/configuration`, { token: owner.token })).body).toEqual(exported.body);
});

test('deletes with a tombstone, with its own connectors, and gives the name free', async () => {
  const { id, name } = await whole();
  const doc = await stored(id);
  const shared = await create({ existing_target_id: doc.target?.connection_id });
  expect(shared.status).toBe(201);
  expect((await service.call('DELETE', `/api/pipelines/${id}`, { token: owner.token })).status).toBe(204);
  expect((await service.call('GET', `/api/pipelines/${id}`, { token: owner.token })).status).toBe(404);
  expect((await service.call('DELETE', `/api/pipelines/${id}`, { token: owner.token })).status).toBe(404);
  expect(await stored(id)).toMatchObject({ deleted: true, outbox: [{ name: 'pipeline.deleted.v1' }] });
  const ids = await connectionIds();
  expect([ids.includes(doc.source?.connection_id ?? ''), ids.includes(doc.target?.connection_id ?? '')]).toEqual([false, true]);
  expect((await create({ name })).status).toBe(201);
});

test('tells workers what to run, and nobody else', async () => {
  const { id, subscription_id } = await whole({ datamodel_source_topic: 'another', parallelism: 2 });
  const asService = { token: serviceToken };
  const expected = {
    pipeline_id: id,
    env_id: owner.envId,
    subscription_id,
    consumer_id: `tributary-${subscription_id}`,
    stream: 'another',
    target_table: 'events',
    error_table: 'events_errors',
    backfill: false,
    mapper: null,
  };
  expect((await service.call('GET', `/internal/pipelines/${id}/subscriptions/${subscription_id}`, asService)).body).toMatchObject(expected);
  expect((await service.call('GET', `/api/pipelines/${id}/worker-config`, asService)).body).toMatchObject({ id, parallelism: 2, subscriptions: [expected] });
  expect((await service.call('GET', `/api/pipelines/${id}/worker-config`, { token: owner.token })).status).toBe(403);
  const doc = await stored(id);
  const uses = await service.call('GET', `/internal/connections/${doc.source?.connection_id}/uses?env_id=${owner.envId}`, asService);
  expect(uses.body).toEqual({ pipelines: [{ id, name: doc.name, state: 'draft' }] });
  expect((await service.call('GET', `/internal/connections/${doc.source?.connection_id}/uses?env_id=other`, asService)).body).toEqual({ pipelines: [] });
});

test('identifies users for the other services', async () => {
  const identity = await service.call('POST', '/internal/identity', { token: serviceToken, body: { token: owner.token } });
  expect(identity.body).toMatchObject({ kind: 'user', userId: owner.id, envId: owner.envId, teams: { [owner.teamId]: 'owner' } });
  expect((await service.call('POST', '/internal/identity', { token: serviceToken, body: { token: 'forged' } })).status).toBe(401);
  expect((await service.call('POST', '/internal/identity', { token: owner.token, body: { token: owner.token } })).status).toBe(403);
});
