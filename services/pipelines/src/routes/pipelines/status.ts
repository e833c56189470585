import { getPipelineStatus } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';
import { statusView } from '../../pipelines/view.ts';

export const pipelineStatusRoute = (finder: Finder): Route =>
  route(getPipelineStatus, async (call) => ({ status: 200, body: statusView(await finder.one(envOf(call), call.params.id)) }));
