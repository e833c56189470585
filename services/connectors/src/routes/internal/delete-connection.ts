import { deleteConnection } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const deleteConnectionRoute = (connections: Connections): Route =>
  route(deleteConnection, async ({ params, query }) => {
    await connections.remove(params.id, query.env_id);
    return { status: 204 };
  });
