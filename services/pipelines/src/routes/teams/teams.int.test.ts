import { afterAll, beforeAll, expect, test } from 'vitest';
import { teamEndpoints } from '@tributary/contracts/api/teams';
import { openToStrangers, startTestService, type TestService } from '../../service.fixture.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());

test('refuses without a token', async () => {
  expect(await openToStrangers(service, teamEndpoints)).toEqual([]);
});

test('a team needs an active environment, and says how to get one', async () => {
  const { token } = await service.person();
  const { status, body } = await service.call('POST', '/api/teams/', { token, body: { name: 'Data' } });
  expect([status, body.detail]).toEqual([400, expect.stringContaining('POST /api/envs/')]);
});

test('makes a team as the guide shows; the name is unique in the environment', async () => {
  const a = await service.tenant();
  const given = { name: 'Analysts', description: 'Team responsible for reports' };
  const { status, body } = await service.call('POST', '/api/teams/', { token: a.token, body: given });
  expect(status).toBe(201);
  expect(body).toEqual({ id: expect.any(String), ...given, env_id: a.envId });
  expect((await service.call('POST', '/api/teams/', { token: a.token, body: given })).status).toBe(400);
  expect((await service.call('GET', '/api/teams/filter-one?name=Analysts', { token: a.token })).body).toEqual(body);
  const b = await service.tenant();
  expect((await service.call('POST', '/api/teams/', { token: b.token, body: given })).status).toBe(201);
  expect((await service.call('GET', `/api/teams/${body.id}`, { token: b.token })).status).toBe(404);
});

test('adds members in bulk, skips known ones, and lists them as the guide shows', async () => {
  const a = await service.tenant();
  const [jane, joe] = [await service.person(), await service.person()];
  const add = (body: unknown) => service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: a.token, body });
  expect((await add({ members: [jane.id], owners: [joe.id] })).status).toBe(204);
  expect((await add({ members: [jane.id, a.id] })).status).toBe(204);
  expect((await service.call('GET', `/api/teams/${a.teamId}/members`, { token: a.token })).body).toEqual([
    { id: a.id, email: a.email, role: 'owner' },
    { id: jane.id, email: jane.email, role: 'member' },
    { id: joe.id, email: joe.email, role: 'owner' },
  ]);
  const unknown = await add({ members: ['nobody'] });
  expect([unknown.status, unknown.body.detail]).toEqual([404, expect.stringContaining('nobody')]);
  expect((await service.call('GET', '/api/users/me', { token: jane.token })).body['active_env_id']).toBe(a.envId);
  expect((await service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: jane.token, body: { members: [] } })).status).toBe(403);
});

test('the last owner stays while others remain, also when two owners remove each other at once', async () => {
  const a = await service.tenant();
  const [jane, joe] = [await service.person(), await service.person()];
  await service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: a.token, body: { members: [jane.id], owners: [joe.id] } });
  const remove = (who: { token: string }, id: string) => service.call('DELETE', `/api/teams/${a.teamId}/members/${id}`, { token: who.token });
  const statuses = await Promise.all([remove(a, joe.id), remove(joe, a.id)]);
  const owners = async (): Promise<{ id: string }[]> =>
    ((await service.call('GET', `/api/teams/${a.teamId}/members`, { token: a.token })).body as unknown as { id: string; role: string }[]).filter(
      (member) => member.role === 'owner',
    );
  expect(statuses.filter((answer) => answer.status === 204)).toHaveLength(1);
  const [last] = await owners();
  expect((await remove(a, last?.id ?? '')).status).toBe(400);
  expect(await owners()).toHaveLength(1);
  expect((await remove(jane, jane.id)).status).toBe(204);
  expect((await service.call('GET', '/api/users/me', { token: jane.token })).body['active_env_id']).toBeNull();
});

test('only owners change and delete a team', async () => {
  const a = await service.tenant();
  const jane = await service.person();
  await service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: a.token, body: { members: [jane.id] } });
  expect((await service.call('PATCH', `/api/teams/${a.teamId}`, { token: jane.token, body: { name: 'Mine' } })).status).toBe(403);
  expect((await service.call('PATCH', `/api/teams/${a.teamId}`, { token: a.token, body: { name: 'Renamed' } })).body['name']).toBe('Renamed');
  expect((await service.call('DELETE', `/api/teams/${a.teamId}`, { token: a.token })).status).toBe(204);
});
