/** The catalogue of BullMQ jobs: queue, payload and retry of each. Payloads hold ids only (I6). */
import { z } from 'zod';

export interface JobDefinition<Data extends z.ZodType> {
  readonly queue: string;
  readonly name: string;
  readonly data: Data;
  readonly attempts: number;
}

const defineJob = <Data extends z.ZodType>(job: JobDefinition<Data>): JobDefinition<Data> => job;

/**
 * Asks a worker to run one slot under one epoch. The job is done once the worker holds the slot's lease: from there on
 * the lease alone says who runs it. One attempt: the reconciler enqueues the next epoch, BullMQ only delivers.
 */
export const runSlotJob = defineJob({
  queue: 'tributary-streams',
  name: 'run-slot',
  attempts: 1,
  data: z.object({ slot_id: z.string(), epoch: z.number().int(), trace: z.string().nullable() }),
});

export type RunSlotJob = z.infer<typeof runSlotJob.data>;
