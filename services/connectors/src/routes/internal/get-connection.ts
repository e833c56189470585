import { getConnection } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const getConnectionRoute = (connections: Connections): Route =>
  route(getConnection, async ({ params, query }) => ({ status: 200, body: await connections.get(params.id, query.env_id) }));
