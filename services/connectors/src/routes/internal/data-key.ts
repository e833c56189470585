import { getDataKey } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const dataKeyRoute = (connections: Connections): Route =>
  route(getDataKey, async ({ params }) => ({ status: 200, body: { key: await connections.dataKey(params.id) }, headers: { 'Cache-Control': 'no-store' } }));
