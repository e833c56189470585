/** What the pipelines service asks of the workers. Aggregate: the pipeline. Nothing secret: workers fetch configurations themselves (I6). */
import { z } from 'zod';
import { defineEvent } from './envelope.ts';

export const pipelineCommandsTopic = 'pipeline-commands';

const wanted = z.object({
  pipeline_id: z.string(),
  env_id: z.string(),
  /** Grows with every start or pause; reports carry it back, so that late ones are told apart. */
  generation: z.number().int(),
});

const configured = wanted.extend({
  /** Version of the configuration to run. */
  version: z.number().int(),
  subscriptions: z.array(z.object({ subscription_id: z.string(), slices: z.number().int().min(1).max(64) })),
});

/** May arrive again under the same generation: then the slots go on, and report their present state. */
export const startRequested = defineEvent({
  name: 'pipeline.start-requested.v1',
  topic: pipelineCommandsTopic,
  data: configured,
});

/** Names the slots: those of which no worker ever heard, since the start was lost, are reported as stopped too. */
export const pauseRequested = defineEvent({ name: 'pipeline.pause-requested.v2', topic: pipelineCommandsTopic, data: configured });

/** As services before v2 announced it. */
export const pauseRequestedV1 = defineEvent({ name: 'pipeline.pause-requested.v1', topic: pipelineCommandsTopic, data: wanted });

export const pipelineDeleted = defineEvent({ name: 'pipeline.deleted.v1', topic: pipelineCommandsTopic, data: wanted });

export const pipelineCommands = [startRequested, pauseRequested, pauseRequestedV1, pipelineDeleted] as const;
