import { updateTeam } from '@tributary/contracts/api/teams';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Teams } from '../../tenancy/teams.ts';

export const updateTeamRoute = (teams: Teams, audit: Audit): Route =>
  route(updateTeam, async (call) => {
    const team = await teams.update(userOf(call), envOf(call), call.params.id, call.body);
    await audit.record(call, { action: 'team.update', subject: { kind: 'team', id: team.id, name: team.name } });
    return { status: 200, body: team };
  });
