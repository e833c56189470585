import { getConnector } from '@tributary/contracts/api/connectors';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';
import { shown } from './shown.ts';

export const getRoute = (connections: Connections): Route =>
  route(getConnector, async (call) => ({ status: 200, body: shown(await connections.get(call.params.id, envOf(call))) }));
