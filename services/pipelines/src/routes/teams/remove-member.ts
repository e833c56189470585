import { removeTeamMember } from '@tributary/contracts/api/teams';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Teams } from '../../tenancy/teams.ts';

export const removeTeamMemberRoute = (teams: Teams, audit: Audit): Route =>
  route(removeTeamMember, async (call) => {
    await teams.removeMember(userOf(call), envOf(call), call.params.id, call.params.user_id);
    await audit.record(call, { action: 'team.remove-member', subject: { kind: 'team', id: call.params.id, name: call.params.user_id } });
    return { status: 204 };
  });
