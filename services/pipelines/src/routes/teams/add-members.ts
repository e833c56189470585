import { addTeamMembers } from '@tributary/contracts/api/teams';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Teams } from '../../tenancy/teams.ts';

export const addTeamMembersRoute = (teams: Teams, audit: Audit): Route =>
  route(addTeamMembers, async (call) => {
    const { members, owners } = call.body;
    await teams.addMembers(userOf(call), envOf(call), call.params.id, { members: members ?? [], owners: owners ?? [] });
    await audit.record(call, { action: 'team.add-members', subject: { kind: 'team', id: call.params.id } });
    return { status: 204 };
  });
