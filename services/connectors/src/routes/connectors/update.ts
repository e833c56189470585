import { updateConnector } from '@tributary/contracts/api/connectors';
import { connectionChanged } from '@tributary/contracts/api/internal';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { ServiceClient } from '@tributary/http/service-client';
import type { Connections } from '../../connections/connections.ts';
import { mayChange, shown } from './shown.ts';

export const updateRoute = (connections: Connections, pipelines: ServiceClient): Route =>
  route(updateConnector, async (call) => {
    const envId = envOf(call);
    const before = await connections.get(call.params.id, envId);
    mayChange(userOf(call), before.team_id);
    const { name, config } = call.body;
    const change = { ...(name === undefined ? {} : { name }), ...(config === undefined ? {} : { config }) };
    const after = await connections.update(call.params.id, envId, change, 'config');
    // Running pipelines go on with the new configuration by themselves.
    if (config !== undefined)
      await pipelines.call(connectionChanged, { params: { id: after.id }, body: { env_id: envId, before: before.config, after: after.config } });
    return { status: 200, body: shown(after) };
  });
