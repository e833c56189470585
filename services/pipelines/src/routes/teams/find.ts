import { findTeam } from '@tributary/contracts/api/teams';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Teams } from '../../tenancy/teams.ts';

export const findTeamRoute = (teams: Teams): Route =>
  route(findTeam, async (call) => ({ status: 200, body: await teams.byName(envOf(call), call.query.name) }));
