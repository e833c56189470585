import { deleteEnv } from '@tributary/contracts/api/envs';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Environments } from '../../tenancy/environments.ts';

export const deleteEnvRoute = (environments: Environments, audit: Audit): Route =>
  route(deleteEnv, async (call) => {
    await environments.remove(userOf(call), call.params.id);
    await audit.record(call, { action: 'env.delete', subject: { kind: 'env', id: call.params.id }, envId: call.params.id });
    return { status: 204 };
  });
