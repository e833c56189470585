/**
 * The data path of one slot: read → map → gather → deliver, until told to stop or until the data ends.
 *
 * One loop does it all, and turns when a read or a commit settled, a timer fired or a signal came. While one delivery is
 * committed the next is read and mapped; never are two in flight, so deliveries reach the target in the order of the
 * source (I4). Exactly-once rests on the target alone: the source reads on from exactly the position that was committed
 * with the rows, so nothing below it comes again and nothing needs to be dropped.
 */
import { addCounts, balances, slotId, type Batch, type Checkpoint, type Slot } from '@tributary/contracts/ops';
import type { ConnectorLog, ReadOptions, Source } from '@tributary/connector-sdk/source';
import type { Target } from '@tributary/connector-sdk/target';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { createAccumulator, type Gathered } from './accumulate.ts';
import { createCredits } from './credits.ts';
import type { LatencySample } from './latency.ts';
import type { CompiledMapper } from './mapper/compile.ts';
import { negotiate } from './negotiate.ts';
import { startPosition } from './start-position.ts';
import { createTurn } from './turn.ts';
import { startWatchdog } from './watchdog.ts';

export interface SlotOptions {
  readonly slot: Slot;
  /** Opened and closed by the caller. */
  readonly source: Source;
  /** Opened with the mapper's columns and primary key, and closed by the caller. */
  readonly target: Target;
  /** null: rows go through as they are, or encoded where both sides share a format. */
  readonly mapper: CompiledMapper | null;
  /** False: rows, although encoded batches could pass. For the run after one that ended with an error of kind `data`: parsed, the bad row is rejected alone. */
  readonly passthrough?: boolean;
  readonly read: Pick<ReadOptions, 'maxRows' | 'maxBytes'>;
  /** Bytes held at once, by the weight of the batches: those being read, gathered and committed. Three times `read.maxBytes` at least keeps all three busy. */
  readonly creditBytes: number;
  readonly delivery?: Partial<DeliveryLimits>;
  /** `stop`: no error table; the first rejected row ends the slot before it is passed over. */
  readonly onRejected: 'table' | 'stop';
  /** With `table`: more rejected rows than this in one run end it. */
  readonly mostRejected?: number;
  /** Pause: what is in hand is committed, then the slot returns. */
  readonly stop: AbortSignal;
  /** The lease is lost: nothing more is written, and FENCED is thrown at once. */
  readonly abort: AbortSignal;
  /** A commit that takes longer than this after `stop` is left behind, its outcome unknown; 2000 by default. */
  readonly stopWithinMs?: number;
  /** Nothing moves for so long although something should: NO_PROGRESS. */
  readonly noProgressMs: number;
  /** The target is claimed, the position known and durable. */
  readonly onLive?: (checkpoint: Checkpoint) => void;
  readonly onCommit?: (commit: Committed) => void;
  readonly log: ConnectorLog;
}

export interface DeliveryLimits {
  /** A delivery goes off when it holds so many rows or bytes; the batch that fills it is in it as a whole. */
  readonly maxRows: number;
  readonly maxBytes: number;
  /** A delivery goes off so long after its first batch came, */
  readonly lingerMs: number;
  /** or when the source gave nothing for so long. */
  readonly quietMs: number;
}

/**
 * Rows that outlive V8's young generation are copied to the old one: parsing and mapping a JSON record cost 1.8 µs of CPU in deliveries
 * of 50,000 rows, 1.65 in those of 10,000, and 1.2 in the latter with `--max-semi-space-size=64`, with which a worker should run.
 */
export const defaultDelivery: DeliveryLimits = { maxRows: 10_000, maxBytes: 16 * 1024 * 1024, lingerMs: 200, quietMs: 20 };

export interface Committed {
  /** Totals of the slot since its subscription began. */
  readonly checkpoint: Checkpoint;
  /** Rows handed to the target in this delivery, and bytes by the weight of its batches. */
  readonly rows: number;
  readonly bytes: number;
  /** How long the target took. */
  readonly milliseconds: number;
  /** For a LatencyWindow. */
  readonly latencies: readonly LatencySample[];
  /** First few reasons of rejected and refused rows, for the log. */
  readonly reasons: readonly string[];
}

export interface SlotOutcome {
  /** `finished`: the source ended (mode `once`). */
  readonly outcome: 'finished' | 'stopped';
  /** The last one known to be durable; null when it was stopped before it was live. */
  readonly checkpoint: Checkpoint | null;
  /** False: a commit was left behind at the stop. The next claim shows whether it got through. */
  readonly settled: boolean;
}

/** How long an aborted read may take to let go before the caller closes the source under it. */
const readerGraceMs = 500;

/**
 * @throws FENCED when the lease is lost or the target has a newer owner; REJECTS_EXCEEDED; NO_PROGRESS; INTERNAL when the
 * counts do not balance; and what source and target throw, untouched. Whatever is thrown, only whole deliveries were committed.
 */
export const runSlot = async (options: SlotOptions): Promise<SlotOutcome> => {
  const { source, target, stop, abort, log } = options;
  const stopWithinMs = options.stopWithinMs ?? 2000;
  const limits = { ...defaultDelivery, ...options.delivery };
  const credits = createCredits(options.creditBytes);
  const pending = createAccumulator(options.mapper);
  const turn = createTurn();

  let checkpoint: Checkpoint | null = null;
  let arrived: Batch | 'idle' | 'end' | null = null;
  let reading: Promise<void> | null = null;
  /** One for each read, so that no listener a reader forgets piles up. */
  let readAbort = new AbortController();
  let committing: Gathered | null = null;
  let quiet = false;
  let ended = false;
  let over = false;
  let rejectedInRun = 0;
  let lastArrival = 0;
  let stoppedAt = Infinity;
  let stopTimer: NodeJS.Timeout | undefined;
  let dueTimer: NodeJS.Timeout | undefined;
  /** Ends the run once what is in flight is committed. */
  let failure: { readonly error: unknown } | null = null;
  /** Ends the run now. */
  let fatal: { readonly error: unknown } | null = null;

  const endNow = (error: unknown): void => {
    fatal ??= { error };
    turn.next();
  };

  const throwIfFatal = (): void => {
    if (fatal !== null) throw fatal.error;
  };

  const onAbort = (): void =>
    endNow(abort.reason instanceof TributaryError ? abort.reason : new TributaryError('FENCED', `The lease of slot ${slotId(options.slot)} is lost.`));
  const onStop = (): void => {
    stoppedAt = performance.now();
    stopTimer = setTimeout(turn.next, stopWithinMs);
    readAbort.abort(stop.reason);
    turn.next();
  };
  const stopOverdue = (): boolean => performance.now() + 1 >= stoppedAt + stopWithinMs;

  const watchdog = startWatchdog({
    noProgressMs: options.noProgressMs,
    busy: () => {
      if (checkpoint === null) return 'the target to be claimed';
      return committing === null ? null : `the target to commit ${committing.rows} rows`;
    },
    onStuck: endNow,
  });

  const start = async (): Promise<void> => {
    try {
      checkpoint = await startPosition(source, target, readAbort.signal);
      watchdog.progress();
      turn.next();
    } catch (error) {
      endNow(error);
    }
  };

  // A slot pauses its source by not asking: next() is called again when there is room for what it may give.
  const read = async (reader: ReturnType<Source['read']>): Promise<void> => {
    readAbort = new AbortController();
    try {
      const next = await reader.next(readAbort.signal);
      // What came after a stop was not asked for any more; it lies beyond the position and is read again.
      if (!over && !stop.aborted) arrived = next;
    } catch (error) {
      if (!stop.aborted) failure ??= { error };
    }
    reading = null;
    turn.next();
  };

  const reserve = options.read.maxBytes;

  const take = (next: Batch | 'idle' | 'end'): void => {
    credits.settle(reserve, typeof next === 'string' ? 0 : next.bytes);
    if (next === 'idle') quiet = true;
    else if (next === 'end') ended = true;
    else {
      quiet = false;
      lastArrival = performance.now();
      watchdog.progress();
      try {
        pending.add(next);
        refuseRejects(next);
      } catch (error) {
        // The batch may be in there in part: what was gathered with it is dropped, and read again.
        credits.give(pending.bytes);
        pending.take();
        failure ??= { error };
      }
    }
  };

  const refuseRejects = (batch: Batch): void => {
    const rejected = pending.rejected;
    const first = rejected[0];
    if (batch.kind !== 'rows' || first === undefined) return;
    if (options.onRejected === 'stop') {
      throw new TributaryError('REJECTS_EXCEEDED', `A row was rejected and there is no error table: ${first.reason} It is at ${JSON.stringify(first.origin)}.`);
    }
    if (options.mostRejected !== undefined && rejectedInRun + rejected.length > options.mostRejected) {
      throw new TributaryError(
        'REJECTS_EXCEEDED',
        `More than ${options.mostRejected} rows were rejected in this run, the last one because: ${rejected.at(-1)?.reason}`,
      );
    }
  };

  const isFull = (): boolean => pending.rows >= limits.maxRows || pending.bytes >= limits.maxBytes;

  const mayRead = (): boolean => reading === null && !isFull() && !ended && failure === null && !stop.aborted && credits.take(reserve);

  const isDue = (now: number): boolean => {
    if (ended || quiet || (reading === null && !credits.fits(reserve)) || stop.aborted || failure !== null) return true;
    if (isFull()) return true;
    const dueAt = Math.min(pending.since + limits.lingerMs, lastArrival + limits.quietMs);
    if (now + 1 >= dueAt) return true;
    clearTimeout(dueTimer);
    dueTimer = setTimeout(turn.next, dueAt - now);
    return false;
  };

  const commit = async (gathered: Gathered, last: Checkpoint): Promise<void> => {
    try {
      const started = performance.now();
      const wanted = { position: gathered.position, counts: addCounts(last.counts, gathered.counts) };
      assertBalanced(wanted, options.slot);
      const result = await target.deliver({ data: gathered.data, rejected: gathered.rejected, checkpoint: wanted });
      if (over) return;
      assertBalanced(result.checkpoint, options.slot);
      // I1: only here does the checkpoint move, with every row before it durable.
      checkpoint = result.checkpoint;
      committing = null;
      credits.give(gathered.bytes);
      watchdog.progress();
      rejectedInRun += gathered.rejected.length + result.refused.length;
      const at = Date.now();
      options.onCommit?.({
        checkpoint,
        rows: gathered.rows,
        bytes: gathered.bytes,
        milliseconds: performance.now() - started,
        latencies: gathered.made.map(({ newestAt, records }) => ({ milliseconds: Math.max(0, at - newestAt), records })),
        reasons: [...gathered.rejected, ...result.refused].slice(0, 3).map(({ reason }) => reason),
      });
      tellSource();
      turn.next();
    } catch (error) {
      endNow(error);
    }
  };

  // The source may be slow to take note: the newest position replaces those it has not been told yet.
  let telling: Promise<void> | null = null;
  let told: Checkpoint | null = null;
  const tellSource = (): void => {
    if (source.committed === undefined || telling !== null || checkpoint === null || told === checkpoint) return;
    told = checkpoint;
    telling = source
      .committed(checkpoint.position)
      .catch((error: unknown) => log.warn('The source could not take note of the committed position', { error: messageOf(error) }))
      .then(() => {
        telling = null;
        if (!over) tellSource();
      });
  };

  abort.addEventListener('abort', onAbort, { once: true });
  stop.addEventListener('abort', onStop, { once: true });
  if (abort.aborted) onAbort();
  if (stop.aborted) onStop();

  const run = async (): Promise<SlotOutcome> => {
    if (fatal === null && !stop.aborted) void start();
    while (checkpoint === null && fatal === null && !stop.aborted) await turn.wait();
    throwIfFatal();
    if (checkpoint === null) return { outcome: 'stopped', checkpoint, settled: true };

    const format = negotiate(source.formats, target.formats, options.mapper === null && options.passthrough !== false);
    const reader = source.read(checkpoint.position, { ...options.read, format });
    options.onLive?.(checkpoint);

    for (;;) {
      throwIfFatal();

      if (arrived !== null) {
        const next = arrived;
        arrived = null;
        take(next);
      }

      if (committing === null && pending.batches > 0 && isDue(performance.now())) {
        committing = pending.take();
        void commit(committing, checkpoint);
      }

      if (mayRead()) reading = read(reader);

      if (committing === null && pending.batches === 0) {
        if (failure !== null) throw failure.error;
        if (stop.aborted) return { outcome: 'stopped', checkpoint, settled: true };
        if (ended) return { outcome: 'finished', checkpoint, settled: true };
      } else if (stop.aborted && stopOverdue()) {
        log.warn('The target is slow to commit; the slot stops without waiting for it', { rows: committing?.rows ?? 0 });
        return { outcome: 'stopped', checkpoint, settled: false };
      }

      await turn.wait();
    }
  };

  try {
    const outcome = await run();
    await settledWithin(telling, readerGraceMs);
    return outcome;
  } finally {
    over = true;
    watchdog.stop();
    clearTimeout(stopTimer);
    clearTimeout(dueTimer);
    abort.removeEventListener('abort', onAbort);
    stop.removeEventListener('abort', onStop);
    readAbort.abort();
    await settledWithin(reading, readerGraceMs);
  }
};

/** I3 */
const assertBalanced = (checkpoint: Checkpoint, slot: Slot): void => {
  if (!balances(checkpoint.counts)) {
    throw new TributaryError('INTERNAL', `The counts of slot ${slotId(slot)} do not balance: ${JSON.stringify(checkpoint.counts)}.`);
  }
};

const settledWithin = async (work: Promise<void> | null, milliseconds: number): Promise<void> => {
  if (work === null) return;
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    work,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    }),
  ]);
  clearTimeout(timer);
};
