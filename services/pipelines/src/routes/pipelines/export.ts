import { exportPipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Connectors } from '../../pipelines/connectors.ts';
import type { Finder } from '../../pipelines/find.ts';
import { configurationView } from '../../pipelines/view.ts';

export const exportPipelineRoute = (finder: Finder, connectors: Connectors): Route =>
  route(exportPipeline, async (call) => {
    const envId = envOf(call);
    const pipeline = await finder.one(envId, call.params.id);
    const owned = [pipeline.source, pipeline.target].flatMap((side) => (side?.owned === true ? [side.connection_id] : []));
    return { status: 200, body: configurationView(pipeline, await connectors.byIds(owned, envId)) };
  });
