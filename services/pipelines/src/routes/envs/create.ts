import { createEnv } from '@tributary/contracts/api/envs';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Environments } from '../../tenancy/environments.ts';

export const createEnvRoute = (environments: Environments, audit: Audit): Route =>
  route(createEnv, async (call) => {
    const { name, description, use_retention } = call.body;
    const env = await environments.create(userOf(call), { name, description: description ?? null, useRetention: use_retention ?? false });
    await audit.record(call, { action: 'env.create', subject: { kind: 'env', id: env.id, name }, envId: env.id });
    return { status: 201, body: env };
  });
