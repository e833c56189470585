import { connectionChanged } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const connectionChangedRoute = (pipelines: Pipelines): Route =>
  route(connectionChanged, async (call) => ({
    status: 200,
    body: { pipelines: await pipelines.connectionChanged(call.body.env_id, call.params.id, call.body.before, call.body.after) },
  }));
