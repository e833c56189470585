import { patchConnection } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const patchConnectionRoute = (connections: Connections): Route =>
  route(patchConnection, async ({ params, body: { env_id: envId, name, config } }) => ({
    status: 200,
    body: await connections.update(params.id, envId, { ...(name === undefined ? {} : { name }), ...(config === undefined ? {} : { config }) }, 'config'),
  }));
