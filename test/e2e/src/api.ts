/** The platform as a client sees it: only the public API. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Answer {
  readonly status: number;
  // Tests look into answers freely; each looked-up field is asserted where it is used.
  readonly body: unknown;
}

export type Fields = Record<string, unknown>;

export const fieldsOf = (body: unknown): Fields => {
  if (typeof body !== 'object' || body === null) throw new Error(`Not an object: ${JSON.stringify(body)}`);
  return body as Fields;
};

export interface Api {
  request(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Like `request`, and throws when the status is another one. */
  expectStatus(status: number, method: string, path: string, body?: unknown): Promise<Fields>;
  readonly token: string | null;
  readonly baseUrl: string;
}

export const createApi = (baseUrl: string, token: string | null = null): Api => {
  const request = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const response = await fetch(`${baseUrl}${path}`, {
      method,
      headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? null : (JSON.parse(text) as unknown) };
  };
  return {
    request,
    expectStatus: async (status, method, path, body) => {
      const answer = await request(method, path, body);
      if (answer.status !== status) throw new Error(`${method} ${path} answered ${answer.status}, not ${status}: ${JSON.stringify(answer.body)}`);
      return (answer.body ?? {}) as Fields;
    },
    token,
    baseUrl,
  };
};

export interface Tenant {
  readonly api: Api;
  readonly userId: string;
  readonly envId: string;
  readonly teamId: string;
}

export const login = async (baseUrl: string, email: string, password: string): Promise<Api> => {
  const response = await fetch(`${baseUrl}/api/auth/jwt/login`, { method: 'POST', body: new URLSearchParams({ username: email, password }) });
  const body = fieldsOf(await response.json());
  if (response.status !== 200) throw new Error(`Login answered ${response.status}: ${JSON.stringify(body)}`);
  return createApi(baseUrl, String(body['access_token']));
};

/** A new user with an environment and a team of its own. */
export const createTenant = async (baseUrl: string, name: string): Promise<Tenant> => {
  const email = `${name}@example.com`;
  const password = 'SecurePassword123!';
  const user = await createApi(baseUrl).expectStatus(201, 'POST', '/api/auth/register', { email, password, is_active: true });
  const api = await login(baseUrl, email, password);
  const env = await api.expectStatus(201, 'POST', '/api/envs/', { name: `${name}-env`, description: 'Test', use_retention: true });
  const team = await api.expectStatus(201, 'POST', '/api/teams/', { name: 'Test Team' });
  return { api, userId: String(user['id']), envId: String(env['id']), teamId: String(team['id']) };
};

/** Asks again until `look` gives something else than null. @throws with the last thing seen after `limitMs`. */
export const eventually = async <T>(what: string, look: () => Promise<T | null>, limitMs = 30_000): Promise<T> => {
  const deadline = Date.now() + limitMs;
  let last: unknown = null;
  for (;;) {
    const seen = await look().catch((error: unknown) => {
      last = error;
      return null;
    });
    if (seen !== null) return seen;
    if (Date.now() > deadline) throw new Error(`Not within ${limitMs / 1000} s: ${what}`, { cause: last });
    await sleep(100);
  }
};

export const pipelineState = async (api: Api, id: string): Promise<Fields> => api.expectStatus(200, 'GET', `/api/pipelines/${id}`);

export const waitForState = async (api: Api, id: string, state: string, limitMs = 30_000): Promise<Fields> => {
  let seen: Fields = {};
  try {
    return await eventually(
      `pipeline ${id} is ${state}`,
      async () => {
        seen = await pipelineState(api, id);
        return seen['state'] === state ? seen : null;
      },
      limitMs,
    );
  } catch (error) {
    throw new Error(`The pipeline is ${String(seen['state'])}, not ${state}: ${JSON.stringify(seen['error'])}`, { cause: error });
  }
};

/** Creates and starts a pipeline, and waits until it is live. */
export const startPipeline = async (tenant: Tenant, config: Fields): Promise<string> => {
  const pipeline = await tenant.api.expectStatus(201, 'POST', '/api/pipelines/', { team_id: tenant.teamId, ...config });
  const id = String(pipeline['id']);
  await tenant.api.expectStatus(202, 'POST', `/api/pipelines/${id}/start`);
  await waitForState(tenant.api, id, 'live');
  return id;
};
