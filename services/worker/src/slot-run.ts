/** One run of one slot under one epoch: opens both ends, runs the engine, and reports. */
import type { Checkpoint, Counts } from '@tributary/contracts/ops';
import { createLatencyWindow, type Percentiles } from '@tributary/engine/latency';
import { runSlot, type Committed } from '@tributary/engine/run-slot';
import { codes, type ErrorCode } from '@tributary/errors/codes';
import { asTributaryError, messageOf, type TributaryError } from '@tributary/errors/error';
import type { Leases } from '@tributary/jobs/leases';
import type { SlotDoc } from '@tributary/store/slots';
import type { SlotLog } from './logs.ts';
import { openSlot, type OpenSlot, type Services } from './open-slot.ts';
import { live, progress } from './slot-reports.ts';

export interface SlotRunOptions {
  readonly slot: SlotDoc;
  readonly epoch: number;
  readonly services: Services;
  readonly leases: Leases;
  readonly log: SlotLog;
  /** Bytes this slot may hold at once. */
  readonly creditBytes: number;
  /** Commit and end. */
  readonly stop: AbortSignal;
  /** The lease is lost: write nothing more. */
  readonly abort: AbortSignal;
  readonly onCommitted: (rows: number, bytes: number) => void;
  /** A report was stored and can be relayed. */
  readonly onReported: () => void;
}

export interface SlotEnd {
  /** `finished`: the source has nothing more for now. `lost`: somebody else owns the slot. */
  readonly how: 'stopped' | 'finished' | 'failed' | 'lost';
  readonly error: TributaryError | null;
  /** The last totals known to be durable. */
  readonly counts: Counts | null;
  /** Failures in a row before this run's own. */
  readonly attempt: number;
}

const reportMs = 1000;
const lagMs = 3000;
const wroteMs = 5000;
/** After a failure: idle without trouble for so long counts as working again. */
const provenMs = 5000;
const noProgressMs = 120_000;
const mostRowsPerBatch = 20_000;

const number = new Intl.NumberFormat('en-US');
export const rowsText = (rows: number): string => `${number.format(rows)} ${rows === 1 ? 'row' : 'rows'}`;

const isData = (code: string | undefined): boolean => code !== undefined && code in codes && codes[code as ErrorCode].kind === 'data';

/** Does not wait for a connector that is slow to give up; what it opens late is closed. Nothing was claimed or written yet. */
const unlessAborted = async (signal: AbortSignal, opening: Promise<OpenSlot>): Promise<OpenSlot> => {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([opening, aborted.promise]);
  } catch (error) {
    opening.then(
      (late) => late.close(),
      () => undefined,
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
};

/** Never throws: how it ended is the answer. */
export const runSlotOnce = async (options: SlotRunOptions): Promise<SlotEnd> => {
  const { slot, epoch, log, stop, abort } = options;
  let { attempt } = slot;
  let counts: Counts | null = null;
  let opened: OpenSlot | null = null;
  let reporter: Reporter | null = null;

  // While opening, a stop is reason enough to give up; later only a lost lease is, since a stop commits first.
  const opening = new AbortController();
  const giveUp = (signal: AbortSignal) => () => opening.abort(signal.reason);
  const onStop = giveUp(stop);
  const onAbort = giveUp(abort);
  stop.addEventListener('abort', onStop, { once: true });
  abort.addEventListener('abort', onAbort, { once: true });

  const end = (how: SlotEnd['how'], error: TributaryError | null = null): SlotEnd => ({ how, error, counts, attempt });
  try {
    stop.throwIfAborted();
    abort.throwIfAborted();
    opened = await unlessAborted(
      opening.signal,
      openSlot({
        slot: { pipelineId: slot.pipeline_id, subscriptionId: slot.subscription_id, slice: slot.slice, slices: slot.slices },
        envId: slot.env_id,
        epoch,
        services: options.services,
        log,
        signal: opening.signal,
      }),
    );
    stop.removeEventListener('abort', onStop);
    const ends = opened;
    const report = (reporter = startReporter(options, ends, attempt, () => {
      attempt = 0;
    }));
    const maxBytes = Math.floor(options.creditBytes / 3);
    const outcome = await runSlot({
      slot: { pipelineId: slot.pipeline_id, subscriptionId: slot.subscription_id, slice: slot.slice, slices: slot.slices },
      source: ends.source,
      target: ends.target,
      mapper: ends.mapper,
      // A bad row among bytes that pass untouched is found by reading them again as rows.
      passthrough: !isData(slot.error?.code),
      read: { maxRows: mostRowsPerBatch, maxBytes },
      creditBytes: options.creditBytes,
      onRejected: ends.spec.error_table === null ? 'stop' : 'table',
      stop,
      abort,
      noProgressMs,
      onLive: report.onLive,
      onCommit: (commit) => {
        counts = commit.checkpoint.counts;
        report.onCommit(commit);
        options.onCommitted(commit.rows, commit.bytes);
      },
      log,
    });
    counts = outcome.checkpoint?.counts ?? counts;
    return end(outcome.outcome);
  } catch (error) {
    if (abort.aborted) return end('lost');
    if (stop.aborted && opened === null) return end('stopped');
    const known = asTributaryError(error);
    return end('failed', known);
  } finally {
    stop.removeEventListener('abort', onStop);
    await reporter?.stop();
    await opened?.close();
    abort.removeEventListener('abort', onAbort);
  }
};

const mostPartsShown = 12;

/** Where reading begins, for people. */
const startText = ({ position, counts }: Checkpoint, ends: OpenSlot): string => {
  const parts = Object.entries(position);
  const shown = parts.slice(0, mostPartsShown).map(([part, at]) => `${part} at ${at}`);
  const where = parts.length === 0 || shown.join().length > 400 ? '' : ` (${shown.join(', ')}${parts.length > mostPartsShown ? ', …' : ''})`;
  if (counts.read > 0) return `from where it stopped${where}`;
  return `from ${ends.spec.backfill ? 'the earliest data' : `what came after ${ends.spec.started_at}`}${where}`;
};

interface Reporter {
  onLive(checkpoint: Checkpoint): void;
  onCommit(commit: Committed): void;
  stop(): Promise<void>;
}

const startReporter = (options: SlotRunOptions, ends: OpenSlot, failedBefore: number, onProven: () => void): Reporter => {
  const { slot, epoch, leases, log } = options;
  const { generation } = slot;
  const latency = createLatencyWindow();
  let checkpoint: Checkpoint | null = null;
  let lastEventAt = slot.last_event_at;
  let lag: number | null = null;
  /** Of the newest batches there were. */
  let percentiles: Percentiles | null = slot.latency;
  let reported = '';
  let liveAt: number | null = null;
  let saidLive = false;
  let proven = failedBefore === 0;
  let written = 0;
  let saidWritten = 0;
  let askedLag = 0;
  let asking = false;

  const sayWritten = (now: number): void => {
    if (written === 0 || now - saidWritten < wroteMs) return;
    log.info(`Wrote ${rowsText(written)} to ${ends.spec.target_table}.`);
    written = 0;
    saidWritten = now;
  };

  const askLag = (now: number, at: Checkpoint): void => {
    if (ends.source.lag === undefined || asking || now - askedLag < lagMs) return;
    asking = true;
    askedLag = now;
    ends.source
      .lag(at.position)
      .then((answer) => {
        lag = answer;
      })
      .catch((error: unknown) => log.debug('The source could not say how far behind it is.', { reason: messageOf(error) }))
      .finally(() => {
        asking = false;
      });
  };

  /** At most one at a time, and each only if there is news. */
  const report = async (): Promise<void> => {
    const now = performance.now();
    sayWritten(now);
    if (checkpoint === null || liveAt === null) return;
    if (!proven && now - liveAt >= provenMs) {
      proven = true;
      onProven();
    }
    askLag(now, checkpoint);
    if (proven && !saidLive) {
      const slotNow = await leases.write(slot._id, epoch, (present, seq) => live(present, seq, generation));
      saidLive = true;
      if (slotNow !== null) options.onReported();
    }
    const { counts } = checkpoint;
    percentiles = latency.percentiles() ?? percentiles;
    const news = JSON.stringify([counts, lag]);
    if (news === reported || !saidLive) return;
    const sent = await leases.write(slot._id, epoch, (present, seq) =>
      progress(present, seq, generation, { counts, lag, latency: percentiles, lastEventAt, attempt: proven ? 0 : present.attempt }),
    );
    if (sent === null) return;
    reported = news;
    latency.reset();
    options.onReported();
  };

  let reporting: Promise<void> | null = null;
  let again = false;
  const tick = (): void => {
    if (reporting !== null) {
      again = true;
      return;
    }
    reporting = report()
      .catch((error: unknown) => log.debug('A report could not be stored; the next one will say the same.', { reason: messageOf(error) }))
      .finally(() => {
        reporting = null;
        if (again) {
          again = false;
          tick();
        }
      });
  };
  const timer = setInterval(tick, reportMs);

  return {
    onLive: (reached) => {
      checkpoint = reached;
      liveAt = performance.now();
      log.info(`Reading ${ends.from} ${startText(reached, ends)}, writing to ${ends.to}.`);
      tick();
    },
    onCommit: (commit) => {
      checkpoint = commit.checkpoint;
      lastEventAt = new Date();
      written += commit.rows;
      if (!proven) {
        proven = true;
        onProven();
      }
      for (const sample of commit.latencies) latency.add(sample);
      for (const reason of commit.reasons) log.warn(`A row was rejected: ${reason}`);
    },
    stop: async () => {
      clearInterval(timer);
      again = false;
      await reporting;
      saidWritten = -wroteMs;
      sayWritten(performance.now());
    },
  };
};
