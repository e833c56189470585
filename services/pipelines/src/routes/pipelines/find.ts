import { findPipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';

export const findPipelineRoute = (finder: Finder): Route =>
  route(findPipeline, async (call) => {
    const envId = envOf(call);
    const pipeline = await finder.byName(envId, call.query.name, call.query.team_id);
    return { status: 200, body: (await finder.views(envId, [pipeline]))[0] };
  });
