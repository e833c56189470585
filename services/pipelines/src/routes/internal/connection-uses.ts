import { getConnectionUses } from '@tributary/contracts/api/internal';
import { shownState } from '@tributary/contracts/pipeline-state';
import { route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';

export const connectionUsesRoute = (finder: Finder): Route =>
  route(getConnectionUses, async (call) => {
    const pipelines = await finder.usesOf(call.query.env_id, call.params.id);
    return { status: 200, body: { pipelines: pipelines.map((pipeline) => ({ id: pipeline._id, name: pipeline.name, state: shownState(pipeline.state) })) } };
  });
