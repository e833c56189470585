import { getSlotSpec } from '@tributary/contracts/api/internal';
import { TributaryError } from '@tributary/errors/error';
import { route, type Route } from '@tributary/http/route';
import type { RunningPipelines } from '../../pipelines/running.ts';
import { slotSpecOf } from '../../pipelines/slot-spec.ts';

export const slotSpecRoute = (running: RunningPipelines): Route =>
  route(getSlotSpec, async (call) => {
    const pipeline = await running.one(call.params.id);
    const subscription = pipeline.subscriptions.find(({ id }) => id === call.params.subscription_id);
    if (subscription === undefined)
      throw new TributaryError('NOT_FOUND', `The pipeline "${pipeline.name}" has no subscription ${call.params.subscription_id}.`);
    return { status: 200, body: slotSpecOf(pipeline, subscription) };
  });
