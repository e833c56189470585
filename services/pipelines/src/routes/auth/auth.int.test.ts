import { afterAll, beforeAll, expect, test } from 'vitest';
import jwt from 'jsonwebtoken';
import { logout } from '@tributary/contracts/api/auth';
import { uniqueName } from '@tributary/devstack/testing';
import { jwtSecret, openToStrangers, startTestService, type TestService } from '../../service.fixture.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());

const me = async (token: string): Promise<number> => (await service.call('GET', '/api/users/me', { token })).status;

test('refuses without a token', async () => {
  expect(await openToStrangers(service, [logout])).toEqual([]);
});

test('registers as the guide shows, and ignores what a stranger may not set', async () => {
  const email = `${uniqueName('John.Doe')}@company.com`;
  const { status, body } = await service.call('POST', '/api/auth/register', {
    body: { email, password: 'MySecurePassword123!', is_active: true, is_superuser: true, is_verified: true },
  });
  expect(status).toBe(201);
  expect(body).toEqual({ id: expect.any(String), email, is_active: true, is_superuser: false, is_verified: false, active_env_id: null });
  const again = await service.call('POST', '/api/auth/register', { body: { email: email.toUpperCase(), password: 'MySecurePassword123!' } });
  expect([again.status, again.body.detail]).toEqual([400, expect.stringContaining('already')]);
});

test('of two registrations of one email at once, one succeeds', async () => {
  const body = { email: `${uniqueName('twice')}@example.com`, password: 'MySecurePassword123!' };
  const statuses = await Promise.all([1, 2, 3].map(async () => (await service.call('POST', '/api/auth/register', { body })).status));
  expect(statuses.toSorted((a, b) => a - b)).toEqual([201, 400, 400]);
});

test('names wrong and unknown fields', async () => {
  const { status, body } = await service.call('POST', '/api/auth/register', { body: { email: 'nobody', extra: 1 } });
  expect(status).toBe(422);
  expect(body.detail).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ loc: ['body', 'email'] }),
      { loc: ['body', 'password'], msg: 'field required', type: 'value_error.missing' },
      { loc: ['body', 'extra'], msg: 'extra fields not permitted', type: 'value_error.extra' },
    ]),
  );
});

test('logs in with a form, and the token opens', async () => {
  const person = await service.person();
  const login = await service.call('POST', '/api/auth/jwt/login', { form: { username: person.email, password: person.password, grant_type: 'password' } });
  expect(login.status).toBe(200);
  expect(login.body).toEqual({ access_token: expect.any(String), token_type: 'bearer' });
  expect(await me(String(login.body['access_token']))).toBe(200);
});

test('a wrong password and an unknown email are told apart by nothing', async () => {
  const person = await service.person();
  const wrong = await service.call('POST', '/api/auth/jwt/login', { form: { username: person.email, password: 'not it' } });
  const unknown = await service.call('POST', '/api/auth/jwt/login', { form: { username: 'nobody@example.com', password: 'not it' } });
  expect([wrong.status, wrong.body.detail]).toEqual([401, unknown.body.detail]);
  expect(unknown.status).toBe(401);
});

test('five failures lock the account, even for the right password and many attempts at once', async () => {
  const person = await service.person();
  const attempts = await Promise.all(
    Array.from({ length: 12 }, () => service.call('POST', '/api/auth/jwt/login', { form: { username: person.email, password: 'guess' } })),
  );
  const statuses = attempts.map((attempt) => attempt.status);
  expect(statuses.filter((status) => status === 401)).toHaveLength(5);
  expect(statuses.filter((status) => status === 429)).toHaveLength(7);
  const right = await service.call('POST', '/api/auth/jwt/login', { form: { username: person.email, password: person.password } });
  expect(right.status).toBe(429);
  expect(Number(right.headers.get('retry-after'))).toBeGreaterThan(14 * 60);
  await service.stores.users.updateOne({ _id: person.id }, { $set: { locked_until: new Date(Date.now() - 1) } });
  expect((await service.call('POST', '/api/auth/jwt/login', { form: { username: person.email, password: person.password } })).status).toBe(200);
});

test('logout ends this session and no other', async () => {
  const person = await service.person();
  const other = await service.call('POST', '/api/auth/jwt/login', { form: { username: person.email, password: person.password } });
  expect((await service.call('POST', '/api/auth/jwt/logout', { token: person.token })).status).toBe(204);
  expect(await me(person.token)).toBe(401);
  expect(await me(String(other.body['access_token']))).toBe(200);
});

test('forged, expired and foreign tokens are refused', async () => {
  const { id } = await service.person();
  const claims = { kind: 'session', gen: 0, sub: id, jti: 'x', aud: ['tributary:auth'] };
  const forged = [
    jwt.sign(claims, 'another-secret-of-more-than-32-characters', { expiresIn: 60 }),
    jwt.sign(claims, jwtSecret, { expiresIn: -1 }),
    jwt.sign(claims, jwtSecret, { expiresIn: 60, algorithm: 'HS512' }),
    jwt.sign({ ...claims, aud: ['somebody-else'] }, jwtSecret, { expiresIn: 60 }),
    jwt.sign(claims, '', { algorithm: 'none', expiresIn: 60 }),
  ];
  for (const token of forged) expect(await me(token)).toBe(401);
  expect(await me(jwt.sign(claims, jwtSecret, { expiresIn: 60 }))).toBe(200);
});

test('writes logins to the audit log', async () => {
  const person = await service.person();
  await service.call('POST', '/api/auth/jwt/login', { form: { username: person.email, password: 'guess' } });
  const entries = await service.stores.audit.find({ email: person.email }).sort({ at: 1 }).lean();
  expect(entries.map((entry) => [entry.action, entry.outcome])).toEqual([
    ['user.register', 'done'],
    ['user.login', 'done'],
    ['user.login', 'refused'],
  ]);
});
