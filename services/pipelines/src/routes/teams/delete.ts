import { deleteTeam } from '@tributary/contracts/api/teams';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Teams } from '../../tenancy/teams.ts';

export const deleteTeamRoute = (teams: Teams, audit: Audit): Route =>
  route(deleteTeam, async (call) => {
    await teams.remove(userOf(call), envOf(call), call.params.id);
    await audit.record(call, { action: 'team.delete', subject: { kind: 'team', id: call.params.id } });
    return { status: 204 };
  });
