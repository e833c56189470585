import { updateSubscription } from '@tributary/contracts/api/subscriptions';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Finder } from '../../pipelines/find.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';
import { subscriptionView } from '../../pipelines/view.ts';

export const updateSubscriptionRoute = (pipelines: Pipelines, finder: Finder, audit: Audit): Route =>
  route(updateSubscription, async (call) => {
    const envId = envOf(call);
    const { _id } = await finder.byPart(envId, 'subscription', call.params.id);
    const change = Object.fromEntries(Object.entries(call.body).map(([field, value]) => [`subscription_${field}`, value]));
    await pipelines.update(userOf(call), envId, _id, change);
    await audit.record(call, { action: 'subscription.update', subject: { kind: 'subscription', id: call.params.id } });
    return { status: 200, body: subscriptionView(await finder.one(envId, _id)) };
  });
