import { afterAll, beforeAll, expect, test } from 'vitest';
import { userEndpoints } from '@tributary/contracts/api/users';
import { openToStrangers, startTestService, type TestService } from '../../service.fixture.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());

test('refuses without a token', async () => {
  expect(await openToStrangers(service, userEndpoints)).toEqual([]);
});

test('users see the members of their environment, superusers everybody', async () => {
  const [a, b] = [await service.tenant(), await service.tenant()];
  const list = await service.call('GET', '/api/users', { token: a.token });
  expect(list.body).toMatchObject({ items: [{ id: a.id }], total: 1, page: 1, size: 50, pages: 1 });
  expect((await service.call('GET', `/api/users/${b.id}`, { token: a.token })).status).toBe(404);
  await service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: a.token, body: { members: [b.id] } });
  expect((await service.call('GET', `/api/users/${b.id}`, { token: a.token })).status).toBe(200);

  await service.domain.accounts.ensureSuperuser('root@example.com', 'a-long-password');
  await service.domain.accounts.ensureSuperuser('root@example.com', 'another-password');
  const login = await service.call('POST', '/api/auth/jwt/login', { form: { username: 'root@example.com', password: 'a-long-password' } });
  const token = String(login.body['access_token']);
  expect((await service.call('GET', '/api/users?size=1', { token })).body['total']).toBeGreaterThanOrEqual(3);
  expect((await service.call('PATCH', `/api/users/${b.id}`, { token, body: { is_active: false } })).status).toBe(200);
  expect((await service.call('GET', '/api/users/me', { token: b.token })).status).toBe(401);
});

test('changes only oneself, and not what is reserved', async () => {
  const a = await service.tenant();
  const b = await service.person();
  expect((await service.call('PATCH', `/api/users/${b.id}`, { token: a.token, body: { email: 'x@example.com' } })).status).toBe(404);
  await service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: a.token, body: { members: [b.id] } });
  expect((await service.call('PATCH', `/api/users/${b.id}`, { token: a.token, body: { email: 'x@example.com' } })).status).toBe(403);
  expect((await service.call('PATCH', `/api/users/${a.id}`, { token: a.token, body: { is_superuser: true } })).status).toBe(403);
  expect((await service.call('PATCH', `/api/users/${a.id}`, { token: a.token, body: { email: b.email } })).status).toBe(400);
  const changed = await service.call('PATCH', `/api/users/${a.id}`, { token: a.token, body: { email: `new-${a.email}` } });
  expect([changed.status, changed.body['email']]).toEqual([200, `new-${a.email}`]);
});

test('switches only to an environment one is a member of', async () => {
  const [a, b] = [await service.tenant(), await service.tenant()];
  expect((await service.call('PATCH', `/api/users/${a.id}`, { token: a.token, body: { active_env_id: b.envId } })).status).toBe(404);
  await service.call('POST', `/api/teams/${b.teamId}/members/bulk`, { token: b.token, body: { members: [a.id] } });
  const switched = await service.call('PATCH', `/api/users/${a.id}`, { token: a.token, body: { active_env_id: b.envId } });
  expect(switched.body['active_env_id']).toBe(b.envId);
  expect((await service.call('GET', `/api/teams/${b.teamId}`, { token: a.token })).status).toBe(200);
  expect((await service.call('GET', `/api/teams/${a.teamId}`, { token: a.token })).status).toBe(404);
});

test('changing the password ends every session', async () => {
  const { token, password, email } = await service.person();
  expect(
    (await service.call('POST', '/api/users/me/change-password', { token, body: { current_password: 'wrong', new_password: 'AnotherPassword1!' } })).status,
  ).toBe(400);
  expect(
    (await service.call('POST', '/api/users/me/change-password', { token, body: { current_password: password, new_password: 'AnotherPassword1!' } })).status,
  ).toBe(204);
  expect((await service.call('GET', '/api/users/me', { token })).status).toBe(401);
  expect((await service.call('POST', '/api/auth/jwt/login', { form: { username: email, password: 'AnotherPassword1!' } })).status).toBe(200);
});

test('a service account token is stored hashed, replaces the one before and can be ended', async () => {
  const { token, id } = await service.person();
  const first = String((await service.call('POST', '/api/users/me/service-account-token', { token })).body['access_token']);
  const created = await service.call('POST', '/api/users/me/service-account-token', { token });
  const second = String(created.body['access_token']);
  expect(created.status).toBe(201);
  expect(JSON.stringify(await service.stores.tokens.find({ user_id: id }).lean())).not.toContain(second);
  const me = async (bearer: string): Promise<number> => (await service.call('GET', '/api/users/me', { token: bearer })).status;
  expect([await me(first), await me(second)]).toEqual([401, 200]);
  expect((await service.call('POST', '/api/auth/jwt/logout', { token: second })).status).toBe(204);
  expect(await me(second)).toBe(401);
});

test('deleting oneself is refused while an environment would be without an owner', async () => {
  const a = await service.tenant();
  const b = await service.person();
  await service.call('POST', `/api/teams/${a.teamId}/members/bulk`, { token: a.token, body: { members: [b.id] } });
  expect((await service.call('DELETE', `/api/users/${a.id}`, { token: a.token })).status).toBe(400);
  expect((await service.call('DELETE', `/api/users/${b.id}`, { token: a.token })).status).toBe(403);
  expect((await service.call('DELETE', `/api/users/${b.id}`, { token: b.token })).status).toBe(204);
  expect((await service.call('GET', '/api/users/me', { token: b.token })).status).toBe(401);
  const members = await service.call('GET', `/api/teams/${a.teamId}/members`, { token: a.token });
  expect(members.body).toHaveLength(1);
});
