import { putConnection } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';

export const putConnectionRoute = (connections: Connections): Route =>
  route(putConnection, async ({ params, body }) => {
    const { view, created } = await connections.create(
      {
        id: params.id,
        envId: body.env_id,
        teamId: body.team_id,
        pipelineId: body.pipeline_id,
        name: body.name,
        type: body.type,
        config: body.config,
        createdBy: body.created_by,
      },
      'config',
    );
    return { status: created ? 201 : 200, body: view };
  });
