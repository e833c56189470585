/** `tributary sync`: the engine in this process, from one source to one target. */
import path from 'node:path';
import { inspect } from 'node:util';
import { noCounts, type Counts } from '@tributary/contracts/ops';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { ConnectorLog } from '@tributary/connector-sdk/source';
import { runSlot } from '@tributary/engine/run-slot';
import { isKind, messageOf, TributaryError } from '@tributary/errors/error';
import type { Environment } from './environment-values.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { isContinuous, openEnds, type Ends } from './open-ends.ts';
import { count, minus, rateOf, rejectedText, startProgress, summaryText, type Progress, type RunFacts } from './run-report.ts';
import { beginRun, holdState, nextEpoch, type HeldState, type RunState } from './run-state.ts';
import { fromText, subscriptionId, toText } from './subscription-id.ts';
import { readSyncFile, type SyncFile } from './sync-file.ts';
import type { Terminal } from './terminal.ts';

export interface SyncOptions {
  readonly file: string;
  /** Go on when the data ends. */
  readonly follow: boolean;
  /** null: `.tributary/<name>.json` beside the file. */
  readonly state: string | null;
  /** null: the folder of the file. */
  readonly root: string | null;
  readonly verbose: boolean;
  /** The summary as JSON. */
  readonly json: boolean;
  readonly environment: Environment;
  readonly terminal: Terminal;
  /** Commit what is in hand and end. */
  readonly stop: AbortSignal;
}

const mebibyte = 1024 * 1024;
const creditBytes = 48 * mebibyte;
const mostRowsPerBatch = 20_000;
const noProgressMs = 120_000;
const stopWithinMs = 30_000;
const lagMs = 2000;
const reasonsShown = 5;
const longestPauseMs = 30_000;

export const logTo = (terminal: Terminal, verbose: boolean): ConnectorLog => {
  const line = (level: string, message: string, facts?: Readonly<Record<string, unknown>>): void =>
    terminal.say(terminal.clean(`${level}: ${message}${verbose && facts !== undefined ? ` ${inspect(facts, { breakLength: Infinity })}` : ''}`));
  return {
    debug: (message, facts) => (verbose ? line('debug', message, facts) : undefined),
    info: (message, facts) => (verbose ? line('info', message, facts) : undefined),
    warn: (message, facts) => line('warning', message, facts),
  };
};

interface Totals {
  /** When this run went live. */
  before: Counts | null;
  now: Counts;
  reasons: number;
}

interface Attempt {
  readonly file: SyncFile;
  readonly state: RunState;
  readonly options: SyncOptions;
  readonly log: ConnectorLog;
  readonly progress: Progress;
  readonly totals: Totals;
  readonly passthrough: boolean;
}

/** Gives up waiting when told to stop: nothing was claimed or written yet. */
const openUnlessStopped = async (
  { file, state, options, log }: Attempt,
  slot: { readonly pipelineId: string; readonly subscriptionId: string },
): Promise<Ends> => {
  const opening = new AbortController();
  const stopped = Promise.withResolvers<never>();
  const onStop = (): void => {
    opening.abort(options.stop.reason);
    stopped.reject(options.stop.reason);
  };
  options.stop.throwIfAborted();
  options.stop.addEventListener('abort', onStop, { once: true });
  try {
    return await Promise.race([
      stopped.promise,
      openEnds({
        file,
        slot: { ...slot, slice: 0, slices: 1 },
        epoch: state.epoch,
        startedAt: new Date(state.started_at),
        mode: options.follow ? 'continuous' : 'once',
        log,
        signal: opening.signal,
      }),
    ]);
  } finally {
    options.stop.removeEventListener('abort', onStop);
  }
};

const askLag = (ends: Ends, progress: Progress, log: ConnectorLog) => {
  let position: Readonly<Record<string, string>> | null = null;
  let asking = false;
  const timer = setInterval(() => {
    if (ends.source.lag === undefined || position === null || asking) return;
    asking = true;
    ends.source
      .lag(position)
      .then(progress.lag)
      .catch((error: unknown) => log.debug('The source could not say how far behind it is.', { reason: messageOf(error) }))
      .finally(() => {
        asking = false;
      });
  }, lagMs);
  return {
    at: (reached: Readonly<Record<string, string>>) => {
      position = reached;
    },
    stop: () => clearInterval(timer),
  };
};

const runOnce = async (attempt: Attempt): Promise<'finished' | 'stopped'> => {
  const { file, state, options, log, progress, totals } = attempt;
  const slot = { pipelineId: 'cli', subscriptionId: state.id };
  const ends = await openUnlessStopped(attempt, slot);
  const lag = askLag(ends, progress, log);
  try {
    const { outcome, checkpoint } = await runSlot({
      slot: { ...slot, slice: 0, slices: 1 },
      source: ends.source,
      target: ends.target,
      mapper: ends.mapper,
      passthrough: attempt.passthrough,
      read: { maxRows: mostRowsPerBatch, maxBytes: creditBytes / 3 },
      creditBytes,
      onRejected: file.errorTable === null ? 'stop' : 'table',
      stop: options.stop,
      abort: new AbortController().signal,
      stopWithinMs,
      noProgressMs,
      onLive: ({ counts, position }) => {
        lag.at(position);
        totals.now = counts;
        if (totals.before !== null) return;
        totals.before = counts;
        const where =
          counts.read > 0 ? `on from ${count(counts.read, 'row')} of earlier runs` : file.backfill ? 'from the beginning' : 'what comes from now on';
        options.terminal.say(`Reading ${state.from} ${where}, writing to ${state.to}.`);
      },
      onCommit: (commit) => {
        lag.at(commit.checkpoint.position);
        totals.now = commit.checkpoint.counts;
        progress.committed(minus(totals.now, totals.before ?? noCounts));
        for (const reason of commit.reasons) {
          totals.reasons += 1;
          if (totals.reasons <= reasonsShown) options.terminal.say(`warning: a row was rejected: ${options.terminal.clean(reason)}`);
        }
      },
      log,
    });
    if (checkpoint !== null) totals.now = checkpoint.counts;
    return outcome;
  } finally {
    lag.stop();
    await ends.close();
  }
};

const pause = (milliseconds: number, stop: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      stop.removeEventListener('abort', done);
      resolve();
    }
    if (stop.aborted) done();
    else stop.addEventListener('abort', done, { once: true });
  });

/** Runs until the data ends, a stop or an error; each attempt is a new owner of the slot. */
const runToEnd = async (attempt: Omit<Attempt, 'state' | 'passthrough'>, held: HeldState, first: RunState): Promise<'finished' | 'stopped'> => {
  const { options, totals } = attempt;
  let state = first;
  let passthrough = true;
  let failures = 0;
  for (;;) {
    const before = totals.now.read;
    // I2: the epoch is on disk before the target sees it, so no later run can have the same.
    await held.save(state);
    try {
      return await runOnce({ ...attempt, state, passthrough });
    } catch (error) {
      if (options.stop.aborted && totals.before === null) return 'stopped';
      if (isKind(error, 'data') && passthrough) {
        // A bad row among bytes that pass untouched is found by reading them again as rows.
        passthrough = false;
      } else if (isKind(error, 'transient') && options.follow && !options.stop.aborted) {
        failures = totals.now.read > before ? 1 : failures + 1;
        const wait = Math.min(longestPauseMs, 500 * 2 ** failures);
        options.terminal.say(`warning: ${options.terminal.clean(messageOf(error))} Trying again in ${Math.round(wait / 1000)} s.`);
        await pause(wait, options.stop);
        if (options.stop.aborted) return 'stopped';
      } else if (isKind(error, 'fenced')) {
        throw new TributaryError(
          'FENCED',
          totals.before === null
            ? `A run of this sync (${state.id}) that began later has claimed ${state.to}. If it is still running elsewhere, leave it to it; if not, the clock of this machine is behind, or that one's was ahead: set it, or raise \`epoch\` in the state file, and run again.`
            : `A later run of this sync (${state.id}) has taken over ${state.to}. What this one had committed is kept, and the other goes on from there.`,
          { cause: error },
        );
      } else {
        throw error;
      }
    }
    state = { ...state, epoch: nextEpoch(state.epoch) };
  }
};

/** @throws what reading the file, source, target and engine throw; what was committed before is kept */
export const sync = async (options: SyncOptions): Promise<ExitCode> => {
  const { terminal } = options;
  const file = await readSyncFile(options.file, options.environment);
  terminal.hide(file.hidden);
  connectorSettings.fileRoot = path.resolve(options.root ?? file.folder);
  if (options.follow && !isContinuous(file.source)) {
    throw new TributaryError('UNSUPPORTED', `"${file.source.manifest.name}" ends with its data, so --follow does not work with it. Leave it out.`);
  }
  const held = await holdState(path.resolve(options.state ?? path.join(file.folder, '.tributary', `${file.name}.json`)));
  const totals: Totals = { before: null, now: noCounts, reasons: 0 };
  const again = `tributary sync ${options.file}${options.follow ? ' --follow' : ''}`;
  try {
    const state = beginRun(held.last, { id: subscriptionId(file), isGiven: file.id !== null, from: fromText(file), to: toText(file) });
    const progress = startProgress(terminal);
    let outcome: 'finished' | 'stopped';
    try {
      outcome = await runToEnd({ file, options, log: logTo(terminal, options.verbose), progress, totals }, held, state);
    } catch (error) {
      const written = totals.now.read - (totals.before ?? totals.now).read;
      if (written > 0) terminal.say(`${count(written, 'row')} of this run ${written === 1 ? 'is' : 'are'} committed; \`${again}\` goes on from there.`);
      throw error;
    } finally {
      progress.stop();
    }
    const cpu = process.cpuUsage();
    const run = minus(totals.now, totals.before ?? totals.now);
    report(options, file, state.id, outcome, {
      run,
      total: totals.now,
      // Since the process began: a user waits for the start too.
      seconds: performance.now() / 1000,
      cpuSeconds: (cpu.user + cpu.system) / 1_000_000,
      peakBytes: process.resourceUsage().maxRSS * 1024,
    });
    if (outcome === 'stopped')
      terminal.say(totals.before === null ? 'Stopped before anything was read.' : `Stopped; all of this is committed. \`${again}\` goes on from there.`);
    return outcome === 'stopped' && !options.follow ? exitCodes.interrupted : exitCodes.ok;
  } finally {
    held.release();
  }
};

const report = (options: SyncOptions, file: SyncFile, id: string, outcome: string, facts: RunFacts): void => {
  const { terminal } = options;
  if (options.json) {
    const { seconds, cpuSeconds, peakBytes } = facts;
    terminal.out(
      JSON.stringify({
        id,
        outcome,
        run: facts.run,
        total: facts.total,
        seconds,
        rows_per_second: rateOf(facts),
        cpu_seconds: cpuSeconds,
        peak_bytes: peakBytes,
      }),
    );
  } else {
    terminal.out(summaryText(facts));
  }
  const rejected = rejectedText(facts.run);
  if (rejected !== '') terminal.say(`Attention: ${rejected}. The rows are in ${file.errorTable ?? 'no table'}, each with the reason and where it came from.`);
};
