import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import type { CheckStep } from '@tributary/connector-sdk/source';
import { freshDatabase, type FreshDatabase } from '@tributary/devstack/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testConnection } from './check.ts';
import { targetConfig } from './config.ts';

let database: FreshDatabase;
let base: Record<string, unknown>;

beforeAll(async () => {
  database = await freshDatabase('postgres');
  const { hostname, port, username, password } = new URL(database.url);
  base = { host: hostname, port, database: database.name, user: username, password: decodeURIComponent(password) };
});
afterAll(() => database.drop());

const log = { debug: () => {}, info: () => {}, warn: () => {} };

const check = async (settings: Record<string, unknown>): Promise<CheckStep[]> =>
  testConnection(targetConfig.parse({ ...base, ...settings }), { log, signal: AbortSignal.timeout(20_000) }, 'target');

const told = (steps: readonly CheckStep[]): [string, boolean, string][] => steps.map(({ name, ok, message }) => [name, ok, message]);

/** Whatever is sent first is answered with `answer`, then nothing more. */
const serverThatSays = async (answer: string): Promise<Server> => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      if (answer !== '') socket.write(answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
};

test('a listener that never answers is neither encrypted nor signed in to', async () => {
  const server = await serverThatSays('');
  const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port, connection_timeout: 1 };
  const words = expect.any(String) as string;
  for (const ssl_mode of ['prefer', 'require', 'verify-full']) {
    expect(told(await check({ ...address, ssl_mode }))).toEqual([
      ['connect', true, expect.stringContaining('accepts connections')],
      ['tls', false, words],
    ]);
  }
  expect(told(await check({ ...address, ssl_mode: 'disable' }))).toEqual([
    ['connect', true, words],
    ['tls', true, expect.stringContaining('Not used')],
    ['sign in', false, expect.stringContaining('timeout')],
  ]);
  server.close();
});

test('a server that takes up TLS and then goes silent is not called encrypted', async () => {
  const server = await serverThatSays('S');
  const steps = await check({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, connection_timeout: 1, ssl_mode: 'require' });
  expect(steps.map(({ name, ok }) => [name, ok])).toEqual([
    ['connect', true],
    ['tls', false],
  ]);
  server.close();
});

test('a server without TLS is told as such, whatever fails later', async () => {
  const wrong = told(await check({ ssl_mode: 'prefer', password: 'not the password' }));
  expect(wrong[1]).toEqual(['tls', true, expect.stringContaining('offers no TLS')]);
  expect(wrong.at(-1)?.slice(0, 2)).toEqual(['sign in', false]);
  expect(told(await check({ ssl_mode: 'require' })).at(-1)).toEqual(['tls', false, expect.stringContaining('does not support SSL')]);
});

test('who is signed in to a database that is not there is signed in', async () => {
  const steps = told(await check({ ssl_mode: 'prefer', database: 'no_such_database' }));
  expect(steps.map(([name, ok]) => [name, ok])).toEqual([
    ['connect', true],
    ['tls', true],
    ['sign in', true],
    ['database', false],
  ]);
});
