import { getCounts } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';
import { slotsOf, totalOf, wantedSlots } from '../../pipelines/slots.ts';

export const countsRoute = (finder: Finder): Route =>
  route(getCounts, async (call) => {
    const pipeline = await finder.one(envOf(call), call.params.id);
    const all = pipeline.subscriptions.map(({ id }) => ({ id, slots: slotsOf(pipeline, id) }));
    const slots = wantedSlots(pipeline).map(({ subscription_id, slice, slices, state, counts, lag, error }) => ({
      subscription_id,
      slice,
      slices,
      state,
      counts,
      lag,
      error,
    }));
    return {
      status: 200,
      body: {
        ...totalOf(all.flatMap((one) => one.slots)),
        subscriptions: all.map((one) => ({ subscription_id: one.id, ...totalOf(one.slots) })),
        slots: pipeline.state === 'draft' ? [] : slots,
      },
    };
  });
