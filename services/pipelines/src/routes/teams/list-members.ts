import { listTeamMembers } from '@tributary/contracts/api/teams';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Teams } from '../../tenancy/teams.ts';

export const listTeamMembersRoute = (teams: Teams): Route =>
  route(listTeamMembers, async (call) => ({ status: 200, body: await teams.members(envOf(call), call.params.id) }));
