import { importPipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const importPipelineRoute = (pipelines: Pipelines, audit: Audit): Route =>
  route(importPipeline, async (call) => {
    const pipeline = await pipelines.update(userOf(call), envOf(call), call.params.id, call.body);
    await audit.record(call, { action: 'pipeline.import', subject: { kind: 'pipeline', id: pipeline.id, name: pipeline.name } });
    return { status: 200, body: pipeline };
  });
