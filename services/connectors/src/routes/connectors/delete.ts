import { TributaryError } from '@tributary/errors/error';
import { deleteConnector } from '@tributary/contracts/api/connectors';
import { getConnectionUses } from '@tributary/contracts/api/internal';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { ServiceClient } from '@tributary/http/service-client';
import type { Connections } from '../../connections/connections.ts';
import { mayChange } from './shown.ts';

export const deleteRoute = (connections: Connections, pipelines: ServiceClient): Route =>
  route(deleteConnector, async (call) => {
    const envId = envOf(call);
    const { id } = call.params;
    mayChange(userOf(call), (await connections.get(id, envId)).team_id);
    const uses = await pipelines.call(getConnectionUses, { params: { id }, query: { env_id: envId } });
    if (uses.pipelines.length > 0) {
      throw new TributaryError(
        'BAD_REQUEST',
        `The connector is used by ${uses.pipelines.map((pipeline) => `"${pipeline.name}"`).join(', ')}. Delete or change those pipelines first.`,
      );
    }
    await connections.remove(id, envId);
    return { status: 204 };
  });
