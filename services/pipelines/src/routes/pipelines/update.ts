import { updatePipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const updatePipelineRoute = (pipelines: Pipelines, audit: Audit): Route =>
  route(updatePipeline, async (call) => {
    const pipeline = await pipelines.update(userOf(call), envOf(call), call.params.id, call.body);
    await audit.record(call, { action: 'pipeline.update', subject: { kind: 'pipeline', id: pipeline.id, name: pipeline.name } });
    return { status: 200, body: pipeline };
  });
