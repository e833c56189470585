import { listEnvs } from '@tributary/contracts/api/envs';
import { route, userOf, type Route } from '@tributary/http/route';
import { paged } from '../../paging.ts';
import type { Environments } from '../../tenancy/environments.ts';

export const listEnvsRoute = (environments: Environments): Route =>
  route(listEnvs, async (call) => ({
    status: 200,
    body: await paged(call.query, (window) => environments.list(userOf(call), { search: call.query.search, ...window })),
  }));
