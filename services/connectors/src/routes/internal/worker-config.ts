import { getConnectionForWorker } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const workerConfigRoute = (connections: Connections): Route =>
  route(getConnectionForWorker, async ({ params, query }) => ({
    status: 200,
    body: await connections.open(params.id, query.env_id),
    headers: { 'Cache-Control': 'no-store' },
  }));
