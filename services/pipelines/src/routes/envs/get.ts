import { getEnv } from '@tributary/contracts/api/envs';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Environments } from '../../tenancy/environments.ts';

export const getEnvRoute = (environments: Environments): Route =>
  route(getEnv, async (call) => ({ status: 200, body: await environments.get(userOf(call), call.params.id) }));
