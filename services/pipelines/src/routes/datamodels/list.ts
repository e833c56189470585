import { listDataModels } from '@tributary/contracts/api/datamodels';
import { envOf, route, type Route } from '@tributary/http/route';
import { paged } from '../../paging.ts';
import type { Finder } from '../../pipelines/find.ts';
import { dataModelView } from '../../pipelines/view.ts';

/** One a pipeline, so the pages of pipelines are the pages of these. */
export const listDataModelsRoute = (finder: Finder): Route =>
  route(listDataModels, async (call) => {
    const page = await paged(call.query, (window) => finder.list(envOf(call), { team_id: call.query.team_id }, window));
    return { status: 200, body: { ...page, items: page.items.map(dataModelView) } };
  });
