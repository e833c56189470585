import { getSubscription } from '@tributary/contracts/api/subscriptions';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';
import { subscriptionView } from '../../pipelines/view.ts';

export const getSubscriptionRoute = (finder: Finder): Route =>
  route(getSubscription, async (call) => ({ status: 200, body: subscriptionView(await finder.byPart(envOf(call), 'subscription', call.params.id)) }));
