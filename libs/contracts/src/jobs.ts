/** The catalogue of BullMQ jobs: queue, payload and retry of each. Payloads hold ids only (I6). */
import { z } from 'zod';

const defineJob = <Data extends z.ZodType>(job: { readonly queue: string; readonly name: string; readonly data: Data; readonly attempts: number }) => job;

/**
 * Runs one slot under one epoch until it is told to stop, loses its lease or fails.
 * One attempt: the reconciler enqueues the next epoch, BullMQ only delivers.
 */
export const runSlotJob = defineJob({
  queue: 'tributary-streams',
  name: 'run-slot',
  attempts: 1,
  data: z.object({ slot_id: z.string(), epoch: z.number().int(), trace: z.string().nullable() }),
});

export type RunSlotJob = z.infer<typeof runSlotJob.data>;
