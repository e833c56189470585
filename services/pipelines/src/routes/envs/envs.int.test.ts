import { afterAll, beforeAll, expect, test } from 'vitest';
import { envEndpoints } from '@tributary/contracts/api/envs';
import { uniqueName } from '@tributary/devstack/testing';
import { openToStrangers, startTestService, type TestService } from '../../service.fixture.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ connectors: true });
});
afterAll(() => service.stop());

test('refuses without a token', async () => {
  expect(await openToStrangers(service, envEndpoints)).toEqual([]);
});

test('makes an environment as the guide shows, and it is the active one', async () => {
  const { token } = await service.person();
  const name = uniqueName('production-environment');
  const given = { name, description: 'Production data processing environment', use_retention: true };
  const { status, body } = await service.call('POST', '/api/envs/', { token, body: given });
  expect(status).toBe(201);
  expect(body).toEqual({ id: expect.any(String), ...given, retention_configuration: null });
  expect((await service.call('GET', '/api/users/me', { token })).body['active_env_id']).toBe(body.id);
  expect((await service.call('POST', '/api/envs', { token, body: given })).status).toBe(400);
});

test('finds by id, by name and in the list, with or without a slash', async () => {
  const a = await service.tenant();
  const env = await service.call('GET', `/api/envs/${a.envId}`, { token: a.token });
  expect((await service.call('GET', `/api/envs/filter-one?name=${String(env.body['name'])}`, { token: a.token })).body).toEqual(env.body);
  for (const path of ['/api/envs', '/api/envs/', '/api/envs/?skip=0&limit=50']) {
    expect((await service.call('GET', path, { token: a.token })).body).toEqual({ items: [env.body], total: 1, page: 1, size: 50, pages: 1 });
  }
});

test('environments of others are not there', async () => {
  const [a, b] = [await service.tenant(), await service.tenant()];
  for (const [method, body] of [['GET'], ['PATCH', { description: 'mine' }], ['DELETE']] as const) {
    expect((await service.call(method, `/api/envs/${b.envId}`, { token: a.token, body })).status).toBe(404);
  }
});

test('only owners change and delete it, and teams and connectors go with it', async () => {
  const a = await service.tenant();
  const b = await service.person();
  await service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: a.token, body: { owners: [b.id] } });
  expect((await service.call('PATCH', `/api/envs/${a.envId}`, { token: b.token, body: { description: 'x' } })).status).toBe(403);
  expect((await service.call('PATCH', `/api/envs/${a.envId}`, { token: a.token, body: { description: 'x' } })).body['description']).toBe('x');
  const connections = service.stores.users.db.collection('connections');
  const made = await fetch(`${service.connectorsUrl}/api/connectors`, {
    method: 'POST',
    headers: { authorization: `Bearer ${a.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'kafka', type: 'KAFKA_TARGET', config: { bootstrap_server: 'b:1' } }),
  });
  expect([made.status, await connections.countDocuments({ env_id: a.envId })]).toEqual([201, 1]);
  expect((await service.call('DELETE', `/api/envs/${a.envId}`, { token: a.token })).status).toBe(204);
  expect(await connections.countDocuments({ env_id: a.envId })).toBe(0);
  expect(await service.stores.teams.countDocuments({ env_id: a.envId })).toBe(0);
  const pipelines = await service.call('GET', '/api/pipelines/', { token: a.token });
  expect([pipelines.status, pipelines.body.detail]).toEqual([400, expect.stringContaining('active environment')]);
});
