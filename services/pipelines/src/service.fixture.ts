/** This service in the test's process, with the real connectors service beside it, on the shared test servers. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freshDatabase, uniqueName } from '@tributary/devstack/testing';
import { createRouteServer, listen } from '@tributary/http/server';
import { createServiceClient } from '@tributary/http/service-client';
import { createHealth } from '@tributary/runtime/health';
import { createLogger } from '@tributary/runtime/logger';
import { createMetrics } from '@tributary/runtime/metrics';
import { openStore } from '@tributary/store/connection';
import type { Endpoint } from '@tributary/contracts/api/endpoint';
import { createDomain } from './domain.ts';
import { allRoutes } from './routes/routes.ts';
import { openStores, type Stores } from './stores.ts';

export const jwtSecret = 'test-jwt-secret-of-more-than-32-characters';
export const serviceToken = 'test-service-token-of-more-than-32-characters';

export interface Answer {
  readonly status: number;
  // What a test expects is written in the test; a wrong shape fails there.
  readonly body: Record<string, unknown> & { readonly id?: string; readonly detail?: unknown };
  readonly headers: Headers;
}

interface Given {
  readonly token?: string;
  readonly body?: unknown;
  readonly form?: Record<string, string>;
}

export interface Person {
  readonly id: string;
  readonly email: string;
  readonly password: string;
  readonly token: string;
}

export interface Tenant extends Person {
  readonly envId: string;
  readonly teamId: string;
}

export interface TestService {
  readonly url: string;
  readonly connectorsUrl: string;
  readonly stores: Stores;
  readonly domain: ReturnType<typeof createDomain>;
  readonly nudges: () => number;
  call(method: string, path: string, given?: Given): Promise<Answer>;
  person(): Promise<Person>;
  /** Somebody with an environment and a team of their own. */
  tenant(): Promise<Tenant>;
  stop(): Promise<void>;
}

export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new TypeError('no port');
  return address.port;
};

/** Settles once it listens; its log is shown when it ends before. */
const startConnectors = async (environment: Record<string, string>): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../connectors/src/main.ts')], {
    env: { ...environment, PATH: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line.includes('is listening')) {
      child.stdout.resume();
      return child;
    }
  }
  throw new Error(`The connectors service did not start:\n${lines.join('\n')}`);
};

export const startTestService = async (options: { readonly connectors?: boolean } = {}): Promise<TestService> => {
  const database = await freshDatabase('mongodb');
  const store = await openStore({ uri: database.url, database: database.name });
  const stores = await openStores(store);
  const log = createLogger({ service: 'pipelines-test', level: 'error' });
  const connectorsPort = await freePort();
  let nudges = 0;
  const domain = createDomain({
    stores,
    connectorsService: createServiceClient({ baseUrl: `http://127.0.0.1:${connectorsPort}`, token: serviceToken, name: 'connectors' }),
    jwtSecret,
    tokenLifetimeSeconds: 3600,
    log,
    nudge: () => {
      nudges += 1;
    },
  });
  const app = createRouteServer({
    log,
    health: createHealth(),
    metrics: createMetrics('pipelines'),
    serviceToken,
    identify: domain.sessions.identify,
    routes: allRoutes(domain),
  });
  const listening = await listen(app, 0, '127.0.0.1');
  const url = `http://127.0.0.1:${listening.port}`;
  const connectors =
    options.connectors === true
      ? await startConnectors({
          PORT: String(connectorsPort),
          MONGO_URI: database.url,
          MONGO_DATABASE: database.name,
          SERVICE_TOKEN: serviceToken,
          PIPELINES_URL: url,
          CONNECTOR_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString('base64url') + '=',
        })
      : null;

  const call = async (method: string, path: string, given: Given = {}): Promise<Answer> => {
    const payload = given.form === undefined ? (given.body === undefined ? undefined : JSON.stringify(given.body)) : new URLSearchParams(given.form);
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(given.token === undefined ? {} : { authorization: `Bearer ${given.token}` }),
        ...(given.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(payload === undefined ? {} : { body: payload }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Answer['body'], headers: response.headers };
  };

  const person = async (): Promise<Person> => {
    const email = `${uniqueName('somebody')}@example.com`;
    const password = 'MySecurePassword123!';
    const registered = await call('POST', '/api/auth/register', { body: { email, password, is_active: true } });
    const login = await call('POST', '/api/auth/jwt/login', { form: { username: email, password } });
    return { id: String(registered.body.id), email, password, token: String(login.body['access_token']) };
  };

  return {
    url,
    connectorsUrl: `http://127.0.0.1:${connectorsPort}`,
    stores,
    domain,
    nudges: () => nudges,
    call,
    person,
    tenant: async () => {
      const owner = await person();
      const env = await call('POST', '/api/envs/', { token: owner.token, body: { name: uniqueName('env') } });
      const team = await call('POST', '/api/teams/', { token: owner.token, body: { name: 'Data Engineering Team' } });
      return { ...owner, envId: String(env.body.id), teamId: String(team.body.id) };
    },
    stop: async () => {
      await listening.close();
      if (connectors !== null) {
        connectors.kill('SIGTERM');
        await once(connectors, 'exit');
      }
      await store.close();
      await database.drop();
    },
  };
};

/** Calls each endpoint without a token and gives what did not answer 401. */
export const openToStrangers = async (service: TestService, endpoints: readonly Endpoint[]): Promise<string[]> => {
  const open: string[] = [];
  for (const endpoint of endpoints) {
    const { status } = await service.call(endpoint.method, endpoint.path.replaceAll(/\{\w+\}/g, 'some-id'));
    if (status !== 401) open.push(`${endpoint.method} ${endpoint.path}: ${status}`);
  }
  return open;
};
