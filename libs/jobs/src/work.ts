/** Takes jobs from a queue, one after the other. */
import { TributaryError } from '@tributary/errors/error';
import type { JobDefinition } from '@tributary/contracts/jobs';
import { newTrace, withTrace } from '@tributary/runtime/trace';
import { Worker } from 'bullmq';
import type { z } from 'zod';
import { closeBriefly, type Redis } from './redis.ts';

export interface JobWorker {
  /** Stops taking; a job that is being taken right now may still come. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  isPaused(): boolean;
  close(): Promise<void>;
}

/** BullMQ's hold on a job; a worker that died gives it up within this and `stalledInterval`. */
const lockMs = 10_000;

/**
 * `handle` must be short: work that goes on is started by it and lives under a lease, not under BullMQ's lock, which stalls
 * when the event loop is busy. A stall gives the job to another worker and never fails it for good.
 */
export const workJobs = <Data extends z.ZodType>(
  job: JobDefinition<Data>,
  options: {
    readonly redis: Redis;
    /** Of the queue that `openQueue` put the jobs into. */
    readonly namespace: string;
    /** Starts paused; call `resume`. */
    readonly paused: boolean;
    readonly handle: (data: z.output<Data>, id: string) => Promise<void>;
    readonly onError: (error: Error) => void;
  },
): JobWorker => {
  const worker = new Worker(
    job.queue,
    async ({ id, data }) => {
      const parsed = job.data.safeParse(data);
      if (!parsed.success) throw new TributaryError('EVENT_UNREADABLE', `Job ${id} of queue ${job.queue} is not a ${job.name} job: ${parsed.error.message}`);
      const { trace } = parsed.data as { trace?: unknown };
      await withTrace(newTrace(trace), () => options.handle(parsed.data, id ?? ''));
    },
    {
      connection: options.redis,
      prefix: options.namespace,
      concurrency: 1,
      lockDuration: lockMs,
      stalledInterval: lockMs / 2,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: 5,
      autorun: false,
    },
  );
  worker.on('error', options.onError);
  worker.on('failed', (_job, error) => options.onError(error));
  let paused = options.paused;
  if (!paused) void worker.run().catch(options.onError);
  return {
    pause: async () => {
      if (paused) return;
      paused = true;
      await worker.pause(true);
    },
    resume: async () => {
      if (!paused) return;
      paused = false;
      await worker.resume();
    },
    isPaused: () => paused,
    close: () => closeBriefly(() => worker.close()),
  };
};
