import { createTeam } from '@tributary/contracts/api/teams';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Teams } from '../../tenancy/teams.ts';

export const createTeamRoute = (teams: Teams, audit: Audit): Route =>
  route(createTeam, async (call) => {
    const team = await teams.create(userOf(call), envOf(call), { name: call.body.name, description: call.body.description ?? null });
    await audit.record(call, { action: 'team.create', subject: { kind: 'team', id: team.id, name: team.name } });
    return { status: 201, body: team };
  });
