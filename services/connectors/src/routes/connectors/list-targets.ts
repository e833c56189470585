import { listTargets } from '@tributary/contracts/api/connectors';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';
import { connectorPage } from './page.ts';

export const listTargetsRoute = (connections: Connections): Route =>
  route(listTargets, async (call) => connectorPage(connections, envOf(call), 'target', call.query));
