import { listTeams } from '@tributary/contracts/api/teams';
import { envOf, route, type Route } from '@tributary/http/route';
import { paged } from '../../paging.ts';
import type { Teams } from '../../tenancy/teams.ts';

export const listTeamsRoute = (teams: Teams): Route =>
  route(listTeams, async (call) => ({
    status: 200,
    body: await paged(call.query, (window) => teams.list(envOf(call), { search: call.query.search, ...window })),
  }));
