import { startPipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const startPipelineRoute = (pipelines: Pipelines, audit: Audit): Route =>
  route(startPipeline, async (call) => {
    const state = await pipelines.start(userOf(call), envOf(call), call.params.id);
    await audit.record(call, { action: 'pipeline.start', subject: { kind: 'pipeline', id: call.params.id } });
    return { status: 202, body: state === 'live' ? 'LIVE' : 'BUILDING' };
  });
