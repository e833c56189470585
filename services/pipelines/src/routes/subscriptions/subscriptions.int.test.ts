import { afterAll, beforeAll, expect, test } from 'vitest';
import { dataModelEndpoints } from '@tributary/contracts/api/datamodels';
import { subscriptionEndpoints } from '@tributary/contracts/api/subscriptions';
import { openToStrangers, startTestService, type Tenant, type TestService } from '../../service.fixture.ts';

let service: TestService;
let owner: Tenant;
beforeAll(async () => {
  service = await startTestService({ connectors: true });
  owner = await service.tenant();
});
afterAll(() => service.stop());

const pipeline = async (name: string) => {
  const { body } = await service.call('POST', '/api/pipelines/', {
    token: owner.token,
    body: {
      name,
      team_id: owner.teamId,
      source_name: 's',
      source_type: 'KAFKA_SOURCE',
      source_config: { topic: 't', bootstrap_servers: 'b:1' },
      target_name: 't',
      target_type: 'KAFKA_TARGET',
      target_config: { bootstrap_server: 'b:1' },
      subscription_target_table_name: 'events',
    },
  });
  return body;
};

test('refuses without a token', async () => {
  expect(await openToStrangers(service, [...subscriptionEndpoints, ...dataModelEndpoints])).toEqual([]);
});

test('a subscription is seen, changed, started and paused with its pipeline', async () => {
  const { id, subscription_id } = await pipeline('one');
  const at = `/api/subscriptions/${String(subscription_id)}`;
  const { token } = owner;
  expect((await service.call('GET', '/api/subscriptions/', { token })).body).toMatchObject({
    total: 1,
    items: [{ id: subscription_id, pipeline_id: id, target_table_name: 'events', state: 'draft', error_table_name: 'events_errors' }],
  });
  const changed = await service.call('PATCH', at, { token, body: { target_table_name: 'other', error_table_enabled: false } });
  expect(changed.body).toMatchObject({ id: subscription_id, target_table_name: 'other', error_table_enabled: false });
  expect((await service.call('POST', `${at}/start`, { token })).body).toBe('BUILDING');
  expect((await service.call('GET', `/api/pipelines/${id}`, { token })).body).toMatchObject({
    state: 'building',
    version: 2,
    subscription_target_table_name: 'other',
  });
  const paused = await service.call('POST', `${at}/pause`, { token });
  expect([paused.status, paused.body]).toEqual([202, 'PAUSED']);
});

test('a data model has an error table of its own, used where the subscription has none', async () => {
  const { id, subscription_id, datamodel_id } = await pipeline('two');
  const { token } = owner;
  const at = `/api/datamodels/${String(datamodel_id)}`;
  expect((await service.call('GET', at, { token })).body).toMatchObject({ id: datamodel_id, pipeline_id: id, error_table_enabled: false });
  expect((await service.call('PATCH', `${at}/error-table`, { token, body: { error_table_enabled: true, error_table_name: 'bad_rows' } })).body).toMatchObject({
    error_table_enabled: true,
    error_table_name: 'bad_rows',
  });
  await service.call('PATCH', `/api/subscriptions/${String(subscription_id)}`, { token, body: { error_table_enabled: false } });
  expect((await service.domain.running.one(String(id))).data_models[0]?.error_table_name).toBe('bad_rows');
});

test("another environment's are not there", async () => {
  const { subscription_id, datamodel_id } = await pipeline('three');
  const { token } = await service.tenant();
  for (const [method, path] of [
    ['GET', `/api/subscriptions/${String(subscription_id)}`],
    ['PATCH', `/api/subscriptions/${String(subscription_id)}`],
    ['POST', `/api/subscriptions/${String(subscription_id)}/start`],
    ['GET', `/api/datamodels/${String(datamodel_id)}`],
  ] as const) {
    expect((await service.call(method, path, { token, ...(method === 'PATCH' ? { body: {} } : {}) })).status).toBe(404);
  }
});
