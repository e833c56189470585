import { getWorkerConfig } from '@tributary/contracts/api/pipelines';
import { shownState } from '@tributary/contracts/pipeline-state';
import { route, type Route } from '@tributary/http/route';
import { slotSpecOf } from '../../pipelines/slot-spec.ts';
import type { RunningPipelines } from '../../pipelines/running.ts';

export const workerConfigRoute = (running: RunningPipelines): Route =>
  route(getWorkerConfig, async (call) => {
    const pipeline = await running.one(call.params.id);
    return {
      status: 200,
      body: {
        id: pipeline._id,
        state: shownState(pipeline.state),
        version: pipeline.version,
        generation: pipeline.generation,
        parallelism: pipeline.parallelism,
        subscriptions: pipeline.subscriptions.map((subscription) => slotSpecOf(pipeline, subscription)),
      },
    };
  });
