import { listSubscriptions } from '@tributary/contracts/api/subscriptions';
import { envOf, route, type Route } from '@tributary/http/route';
import { paged } from '../../paging.ts';
import type { Finder } from '../../pipelines/find.ts';
import { subscriptionView } from '../../pipelines/view.ts';

/** One a pipeline, so the pages of pipelines are the pages of these. */
export const listSubscriptionsRoute = (finder: Finder): Route =>
  route(listSubscriptions, async (call) => {
    const page = await paged(call.query, (window) => finder.list(envOf(call), { state: call.query.state, team_id: call.query.team_id }, window));
    return { status: 200, body: { ...page, items: page.items.map(subscriptionView) } };
  });
