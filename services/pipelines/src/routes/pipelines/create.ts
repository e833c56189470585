import { createPipeline } from '@tributary/contracts/api/pipelines';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const createPipelineRoute = (pipelines: Pipelines, audit: Audit): Route =>
  route(createPipeline, async (call) => {
    const pipeline = await pipelines.create(userOf(call), envOf(call), call.body);
    await audit.record(call, { action: 'pipeline.create', subject: { kind: 'pipeline', id: pipeline.id, name: pipeline.name } });
    return { status: 201, body: pipeline };
  });
