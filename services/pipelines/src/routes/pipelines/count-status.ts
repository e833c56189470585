import { countPipelines } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';

export const countPipelinesRoute = (finder: Finder): Route =>
  route(countPipelines, async (call) => ({ status: 200, body: await finder.countByState(envOf(call), call.query.team_id) }));
