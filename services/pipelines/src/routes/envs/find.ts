import { findEnv } from '@tributary/contracts/api/envs';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Environments } from '../../tenancy/environments.ts';

export const findEnvRoute = (environments: Environments): Route =>
  route(findEnv, async (call) => ({ status: 200, body: await environments.byName(userOf(call), call.query.name) }));
