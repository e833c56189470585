import { updateConnector } from '@tributary/contracts/api/connectors';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';
import { mayChange, shown } from './shown.ts';

export const updateRoute = (connections: Connections): Route =>
  route(updateConnector, async (call) => {
    const envId = envOf(call);
    mayChange(userOf(call), (await connections.get(call.params.id, envId)).team_id);
    const { name, config } = call.body;
    const change = { ...(name === undefined ? {} : { name }), ...(config === undefined ? {} : { config }) };
    return { status: 200, body: shown(await connections.update(call.params.id, envId, change, 'config')) };
  });
