/** Beats for this worker, and keeps it at its fair share: it takes no more than that, and gives back what another has room for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@tributary/errors/error';
import type { JobWorker } from '@tributary/jobs/work';
import type { Health } from '@tributary/runtime/health';
import { heartbeat } from '@tributary/runtime/health';
import type { Logger } from '@tributary/runtime/logger';
import type { StoreClock } from '@tributary/store/clock';
import type { Model, SlotDoc } from '@tributary/store/slots';
import { beat, leave, liveWorkers, type WorkerDoc } from '@tributary/store/workers';
import { balance } from './fair-share.ts';
import type { Runner } from './runner.ts';

const turnMs = 1000;
const switchLimitMs = 500;
/** However often it is nudged: turns are no closer than this. */
const gapMs = 200;
/** A surplus must last so long before it is given back, and as long again before the next: a passing imbalance moves nothing. */
const patienceMs = 2000;
/** A job that nobody took for so long: whoever has room takes it, fair or not. */
const stuckMs = 8000;

export interface Rebalance {
  nudge(): void;
  /** May this worker take one more slot? */
  hasRoom(): boolean;
  /** Slots that are wanted and can run, in all of the installation. */
  wanted(): number;
  stop(): Promise<void>;
}

export const startRebalance = (options: {
  readonly workers: Model<WorkerDoc>;
  readonly slots: Model<SlotDoc>;
  readonly clock: StoreClock;
  readonly self: Pick<WorkerDoc, '_id' | 'host' | 'pid' | 'capacity'>;
  readonly runner: Runner;
  readonly jobs: JobWorker;
  readonly log: Logger;
  readonly health: Health;
}): Rebalance => {
  const { workers, slots, clock, self, runner, jobs, log } = options;
  const turning = heartbeat(30_000);
  options.health.add('heartbeat', turning.check);
  const startedAt = new Date();
  let stopping = false;
  let wake = Promise.withResolvers<void>();
  let wanted = 0;
  let limit = self.capacity;
  let surplusSince: number | null = null;
  let stepping: Promise<void> = Promise.resolve();

  /** Pausing and resuming one after the other, since both take a moment. */
  const followLimit = (): void => {
    stepping = stepping
      .then(async () => {
        if (stopping) return;
        if (runner.staying() >= limit) await jobs.pause();
        else await jobs.resume();
      })
      .catch((error: unknown) => log.warn({ reason: messageOf(error) }, 'Taking jobs could not be switched'));
  };

  const turn = async (): Promise<void> => {
    const now = clock.now();
    const held = runner.staying();
    await beat(workers, { ...self, held, started_at: startedAt, beat_at: now });
    const runnable = { wanted: true, deleted: false, state: { $ne: 'waiting' } };
    const [live, count, stuck] = await Promise.all([
      liveWorkers(workers, now),
      slots.collection.countDocuments(runnable),
      slots.collection.countDocuments({ ...runnable, state: 'queued', queued_at: { $lt: new Date(now.getTime() - stuckMs) } }, { limit: 1 }),
    ]);
    wanted = count;
    const present = balance(
      { id: self._id, capacity: self.capacity, held },
      live.map(({ _id, ...worker }) => ({ id: _id, ...worker })),
      wanted,
      stuck > 0,
    );
    limit = present.limit;
    if (present.surplus === 0) surplusSince = null;
    else if (performance.now() - (surplusSince ??= performance.now()) >= patienceMs) {
      surplusSince = null;
      log.info({ count: present.surplus, held, wanted, workers: live.length }, 'Giving slots back, another worker has room');
      runner.giveBack(present.surplus);
    }
    followLimit();
    turning.touch();
  };

  const run = async (): Promise<void> => {
    while (!stopping) {
      wake = Promise.withResolvers<void>();
      await turn().catch((error: unknown) => log.warn({ reason: messageOf(error) }, 'The heartbeat could not be written, trying again'));
      await sleep(gapMs, undefined, { ref: false });
      await Promise.race([sleep(turnMs - gapMs, undefined, { ref: false }), wake.promise]);
    }
  };
  const running = run();
  return {
    nudge: () => {
      followLimit();
      wake.resolve();
    },
    hasRoom: () => runner.staying() < limit,
    wanted: () => wanted,
    stop: async () => {
      stopping = true;
      wake.resolve();
      await running;
      // Switching waits for Redis, which may be away.
      await Promise.race([stepping, sleep(switchLimitMs, undefined, { ref: false })]);
      await leave(workers, self._id);
    },
  };
};
