import { listSources } from '@tributary/contracts/api/connectors';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';
import { connectorPage } from './page.ts';

export const listSourcesRoute = (connections: Connections): Route =>
  route(listSources, async (call) => connectorPage(connections, envOf(call), 'source', call.query));
