/** Pipelines as the platform's own services ask for them: across environments, by id. Never behind a user's token (I7). */
import { TributaryError } from '@tributary/errors/error';
import type { PipelineDoc } from '@tributary/store/pipelines';
import type { Stores } from '../stores.ts';

export interface RunningPipelines {
  /** @throws NOT_FOUND */
  one(id: string): Promise<PipelineDoc>;
}

export const createRunningPipelines = (stores: Stores): RunningPipelines => ({
  one: async (id) => {
    const doc = await stores.pipelines.findOne({ _id: id, deleted: false }, { outbox: 0, outbox_claim: 0 }).lean<PipelineDoc>();
    if (doc === null) throw new TributaryError('NOT_FOUND', `There is no pipeline ${id}.`);
    return doc;
  },
});
