import { getTeam } from '@tributary/contracts/api/teams';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Teams } from '../../tenancy/teams.ts';

export const getTeamRoute = (teams: Teams): Route => route(getTeam, async (call) => ({ status: 200, body: await teams.get(envOf(call), call.params.id) }));
