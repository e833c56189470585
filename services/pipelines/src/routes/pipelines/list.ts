import { listPipelines } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import { paged } from '../../paging.ts';
import type { Finder } from '../../pipelines/find.ts';

export const listPipelinesRoute = (finder: Finder): Route =>
  route(listPipelines, async (call) => {
    const envId = envOf(call);
    const page = await paged(call.query, (window) => finder.list(envId, call.query, window));
    return { status: 200, body: { ...page, items: await finder.views(envId, page.items) } };
  });
