import { deleteEnvironmentConnections } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const deleteEnvironmentRoute = (connections: Connections): Route =>
  route(deleteEnvironmentConnections, async (call) => {
    await connections.removeEnvironment(call.params.id);
    return { status: 204 };
  });
