/** The slots this worker runs: started by jobs, stopped by what the store says of them, each on its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunSlotJob } from '@tributary/contracts/jobs';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { openLeases, type LeaseTimes } from '@tributary/jobs/leases';
import type { Logger } from '@tributary/runtime/logger';
import type { StoreClock } from '@tributary/store/clock';
import { writeSlot, type Model, type SlotDoc, type SlotWrite } from '@tributary/store/slots';
import type { PipelineLogs, SlotLog } from './logs.ts';
import type { Services } from './open-slot.ts';
import { failed, nobodyRuns } from './slot-reports.ts';
import { runSlotOnce, rowsText, type SlotEnd } from './slot-run.ts';

export interface RunnerOptions {
  readonly slots: Model<SlotDoc>;
  readonly clock: StoreClock;
  readonly holder: string;
  readonly leaseTimes?: LeaseTimes;
  readonly services: Services;
  readonly logs: PipelineLogs;
  readonly log: Logger;
  readonly creditBytes: number;
  readonly onCommitted: (rows: number, bytes: number) => void;
  readonly onReported: () => void;
  /** May one more slot be taken? A job that was on its way when the answer became no is handed back. */
  readonly hasRoom: () => boolean;
  /** A slot began or ended here. */
  readonly onChange: () => void;
}

export interface Runner {
  /** Takes the slot's lease and begins; does nothing when the job is out of date. */
  start(job: RunSlotJob): Promise<void>;
  /** Slots that run here, those that are stopping included. */
  held(): number;
  /** Slots that run here and are not on their way out. */
  staying(): number;
  /** Looks now whether slots are still wanted. */
  refresh(): Promise<void>;
  /** Stops so many slots, for others to take over. */
  giveBack(count: number): void;
  /** Why leases are not renewed, or null. */
  check(): string | null;
  /** Gives all slots back and ends. */
  stop(): Promise<void>;
}

type StopReason = 'paused' | 'changed' | 'given back';

interface Run {
  readonly slot: SlotDoc;
  readonly epoch: number;
  readonly stop: AbortController;
  readonly abort: AbortController;
  readonly startedAt: number;
  reason: StopReason | null;
  done: Promise<void>;
}

/** A source that ended is read again after this. */
const restMs = 60_000;

const farewell: Record<StopReason, string> = {
  paused: 'Stopped as asked',
  changed: 'Stopped to start anew under the changed configuration',
  'given back': 'Handed over to another worker',
};

export const createRunner = (options: RunnerOptions): Runner => {
  const { clock, log } = options;
  const runs = new Map<string, Run>();
  const keyOf = (slotId: string, epoch: number): string => `${slotId} ${epoch}`;

  const stopRun = (run: Run, reason: StopReason): void => {
    if (run.reason !== null) return;
    run.reason = reason;
    run.stop.abort(new TributaryError('SERVICE_UNAVAILABLE', `The slot was told to stop (${reason}).`));
  };

  const leases = openLeases({
    slots: options.slots,
    clock,
    holder: options.holder,
    ...(options.leaseTimes === undefined ? {} : { times: options.leaseTimes }),
    onTrouble: (error) => log.warn({ reason: messageOf(error) }, 'Leases could not be renewed, trying again'),
    watcher: {
      renewed: (slot) => {
        const run = runs.get(keyOf(slot._id, slot.lease?.epoch ?? -1));
        if (run === undefined) return;
        if (!slot.wanted) stopRun(run, 'paused');
        else if (slot.generation !== run.slot.generation) stopRun(run, 'changed');
      },
      // Fencing by time: before anybody else may take the slot, this worker has stopped writing.
      lost: (slotId, epoch) =>
        runs.get(keyOf(slotId, epoch))?.abort.abort(new TributaryError('FENCED', `The lease of slot ${slotId} at epoch ${epoch} is lost.`)),
    },
  });

  /** The last write of a run, tried until the lease would be over anyway. */
  const release = async (run: Run, decide: (slot: SlotDoc, seq: number) => SlotWrite): Promise<void> => {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      try {
        await leases.release(run.slot._id, run.epoch, decide);
        return;
      } catch (error) {
        log.warn({ slot_id: run.slot._id, reason: messageOf(error) }, 'A slot could not be released, trying again');
        await sleep(500);
      }
    }
  };

  const finish = async (run: Run, end: SlotEnd, slotLog: SlotLog): Promise<void> => {
    const { counts, attempt } = end;
    // I6: what a driver says may quote its configuration.
    const error =
      end.error === null ? null : new TributaryError(end.error.code, slotLog.clean(end.error.message), { cause: end.error, details: end.error.details });
    const total = counts === null ? '' : `, after ${rowsText(counts.written)} in all`;
    if (end.how === 'lost') {
      log.warn({ slot_id: run.slot._id, epoch: run.epoch }, 'The lease of a slot was lost; it stopped without another write');
      return;
    }
    if (end.how === 'failed' && error !== null && error.kind === 'fenced') {
      // Another owner claimed the target: nothing to report, it does. If there is none after all, the next epoch shows.
      slotLog.debug('The target has a newer owner of this slot; stopped.', { reason: error.message });
      await release(run, (slot, seq) => {
        const write = nobodyRuns(slot, seq);
        const retryAt = new Date(clock.now().getTime() + Math.min(30_000, 1000 * 2 ** slot.attempt));
        return slot.wanted ? { ...write, set: { ...write.set, state: 'failed', attempt: slot.attempt + 1, retry_at: retryAt } } : write;
      });
      return;
    }
    if (end.how === 'failed' && error !== null && run.reason === null) {
      let retryAt: Date | null = null;
      await release(run, (slot, seq) => {
        const write = failed(slot, seq, { generation: run.slot.generation, error, counts, attempt, now: clock.now() });
        retryAt = write.set.retry_at ?? null;
        return write;
      });
      const next = retryAt === null ? 'It waits until the configuration is changed and the pipeline started again.' : 'It is tried again by itself.';
      slotLog.error(`${error.message} ${error.help} ${next}`, { code: error.code });
      if (error.kind === 'bug') log.error({ stack: slotLog.clean(end.error?.stack ?? ''), slot_id: run.slot._id }, 'A slot failed for a reason nobody foresaw');
      return;
    }
    if (error !== null) slotLog.warn(`While stopping: ${error.message}`, { code: error.code });
    await release(run, (slot, seq) => {
      const write = nobodyRuns(slot, seq, counts ?? slot.counts);
      return end.how === 'finished' ? { ...write, set: { ...write.set, attempt: 0, retry_at: new Date(clock.now().getTime() + restMs) } } : write;
    });
    slotLog.info(end.how === 'finished' ? `The source has nothing more for now${total}.` : `${farewell[run.reason ?? 'paused']}${total}.`);
  };

  const execute = async (run: Run): Promise<void> => {
    const { slot, epoch } = run;
    const slotLog = options.logs.of({ pipeline_id: slot.pipeline_id, subscription_id: slot.subscription_id, slice: slot.slice, worker: options.holder });
    try {
      const end = await runSlotOnce({
        slot,
        epoch,
        services: options.services,
        leases,
        log: slotLog,
        creditBytes: options.creditBytes,
        stop: run.stop.signal,
        abort: run.abort.signal,
        onCommitted: options.onCommitted,
        onReported: options.onReported,
      });
      await finish(run, end, slotLog);
    } catch (error) {
      log.error({ err: error, slot_id: slot._id }, 'A slot could not be ended properly; its lease runs out');
    } finally {
      runs.delete(keyOf(slot._id, epoch));
      options.onReported();
      options.onChange();
    }
  };

  let stopping = false;
  return {
    start: async ({ slot_id, epoch }) => {
      if (stopping) throw new TributaryError('SERVICE_UNAVAILABLE', 'This worker is stopping.');
      if (!options.hasRoom()) {
        await writeSlot(options.slots, slot_id, (slot) => (slot.epoch === epoch && slot.state === 'queued' ? { set: { state: 'idle' } } : null));
        options.onChange();
        return;
      }
      const slot = await leases.take(slot_id, epoch);
      if (slot === null) {
        log.debug({ slot_id, epoch }, 'A job is out of date');
        return;
      }
      const run: Run = {
        slot,
        epoch,
        stop: new AbortController(),
        abort: new AbortController(),
        startedAt: performance.now(),
        reason: null,
        done: Promise.resolve(),
      };
      runs.set(keyOf(slot_id, epoch), run);
      run.done = execute(run);
      options.onChange();
    },
    held: () => runs.size,
    staying: () => [...runs.values()].filter(({ reason }) => reason === null).length,
    refresh: () => leases.renew(),
    giveBack: (count) => {
      // The youngest have the least to lose: caches and connections of the others are warm.
      const candidates = [...runs.values()].filter((run) => run.reason === null).toSorted((a, b) => b.startedAt - a.startedAt);
      for (const run of candidates.slice(0, count)) stopRun(run, 'given back');
    },
    check: () => (leases.overdueMs() < 10_000 ? null : 'leases are not renewed'),
    stop: async () => {
      stopping = true;
      for (const run of runs.values()) stopRun(run, 'given back');
      while (runs.size > 0) await Promise.all([...runs.values()].map((run) => run.done));
      await leases.stop();
    },
  };
};
