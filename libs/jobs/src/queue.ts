/** Puts jobs of the catalogue into their queues. */
import type { JobDefinition } from '@tributary/contracts/jobs';
import { Queue } from 'bullmq';
import type { z } from 'zod';
import { closeBriefly, type Redis } from './redis.ts';

export interface JobQueue<Data> {
  /** Does nothing when a job of this id is there already. `id` must not hold ':' (BullMQ refuses it). */
  add(id: string, data: Data): Promise<void>;
  /** `waiting`: will be handed to a worker. `active`: a worker has it. `missing`: done, failed, or lost with a flushed Redis. */
  whereabouts(id: string): Promise<'waiting' | 'active' | 'missing'>;
  remove(id: string): Promise<void>;
  close(): Promise<void>;
}

export const openQueue = <Data extends z.ZodType>(
  job: JobDefinition<Data>,
  options: { readonly redis: Redis; readonly namespace: string; readonly onError: (error: Error) => void },
): JobQueue<z.input<Data>> => {
  const queue = new Queue(job.queue, {
    connection: options.redis,
    prefix: options.namespace,
    defaultJobOptions: { attempts: job.attempts, removeOnComplete: true, removeOnFail: true },
  });
  queue.on('error', options.onError);
  return {
    add: async (id, data) => {
      await queue.add(job.name, job.data.parse(data), { jobId: id });
    },
    whereabouts: async (id) => {
      const state = await queue.getJobState(id);
      if (state === 'active') return 'active';
      return state === 'unknown' || state === 'completed' || state === 'failed' ? 'missing' : 'waiting';
    },
    remove: async (id) => {
      await queue.remove(id);
    },
    close: () => closeBriefly(() => queue.close()),
  };
};
