import { pausePipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const pausePipelineRoute = (pipelines: Pipelines, audit: Audit): Route =>
  route(pausePipeline, async (call) => {
    await pipelines.pause(userOf(call), envOf(call), call.params.id);
    await audit.record(call, { action: 'pipeline.pause', subject: { kind: 'pipeline', id: call.params.id } });
    return { status: 202, body: 'PAUSED' };
  });
