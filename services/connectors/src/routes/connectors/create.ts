import { TributaryError } from '@tributary/errors/error';
import { createConnector } from '@tributary/contracts/api/connectors';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import { newConnectionId, type Connections } from '../../connections/connections.ts';
import { mayChange, shown } from './shown.ts';

export const createRoute = (connections: Connections): Route =>
  route(createConnector, async (call) => {
    const user = userOf(call);
    const envId = envOf(call);
    const teamId = call.body.team_id ?? null;
    // I7: a team of another environment is not there at all.
    if (teamId !== null && !(teamId in user.teams) && !user.isSuperuser)
      throw new TributaryError('NOT_FOUND', `There is no team ${teamId} in your environment.`);
    mayChange(user, teamId);
    const { view } = await connections.create(
      { id: newConnectionId(), envId, teamId, pipelineId: null, name: call.body.name, type: call.body.type, config: call.body.config, createdBy: user.userId },
      'config',
    );
    return { status: 201, body: shown(view) };
  });
