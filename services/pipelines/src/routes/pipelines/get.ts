import { getPipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';

export const getPipelineRoute = (finder: Finder): Route =>
  route(getPipeline, async (call) => {
    const envId = envOf(call);
    const pipeline = await finder.one(envId, call.params.id);
    return { status: 200, body: (await finder.views(envId, [pipeline]))[0] };
  });
