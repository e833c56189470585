import { updateEnv } from '@tributary/contracts/api/envs';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Environments } from '../../tenancy/environments.ts';

export const updateEnvRoute = (environments: Environments, audit: Audit): Route =>
  route(updateEnv, async (call) => {
    const { name, description, use_retention } = call.body;
    const env = await environments.update(userOf(call), call.params.id, { name, description, use_retention });
    await audit.record(call, { action: 'env.update', subject: { kind: 'env', id: env.id, name: env.name }, envId: env.id });
    return { status: 200, body: env };
  });
