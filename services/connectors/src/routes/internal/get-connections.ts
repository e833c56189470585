import { getConnections } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const getConnectionsRoute = (connections: Connections): Route =>
  route(getConnections, async ({ body }) => ({ status: 200, body: { connections: await connections.byIds(body.ids, body.env_id) } }));
