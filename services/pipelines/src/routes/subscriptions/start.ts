import { startSubscription } from '@tributary/contracts/api/subscriptions';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Finder } from '../../pipelines/find.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';

export const startSubscriptionRoute = (pipelines: Pipelines, finder: Finder, audit: Audit): Route =>
  route(startSubscription, async (call) => {
    const envId = envOf(call);
    const { _id } = await finder.byPart(envId, 'subscription', call.params.id);
    const state = await pipelines.start(userOf(call), envId, _id);
    await audit.record(call, { action: 'subscription.start', subject: { kind: 'subscription', id: call.params.id } });
    return { status: 202, body: state === 'live' ? 'LIVE' : 'BUILDING' };
  });
