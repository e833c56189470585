import { deletePipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const deletePipelineRoute = (pipelines: Pipelines, audit: Audit): Route =>
  route(deletePipeline, async (call) => {
    await pipelines.remove(userOf(call), envOf(call), call.params.id);
    await audit.record(call, { action: 'pipeline.delete', subject: { kind: 'pipeline', id: call.params.id } });
    return { status: 204 };
  });
