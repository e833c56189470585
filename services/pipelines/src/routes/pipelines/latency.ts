import { getLatency } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';
import { latencyOf, wantedSlots } from '../../pipelines/slots.ts';

export const latencyRoute = (finder: Finder): Route =>
  route(getLatency, async (call) => {
    const pipeline = await finder.one(envOf(call), call.params.id);
    const slots = wantedSlots(pipeline);
    const subscriptions = pipeline.subscriptions.map(({ id }) => ({ subscription_id: id, ...latencyOf(slots.filter((slot) => slot.subscription_id === id)) }));
    return { status: 200, body: { ...latencyOf(slots), subscriptions } };
  });
