// One server as a child process: started, waited for, stopped by pid, and found again when its starter was killed.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TributaryError } from '@tributary/errors/error';
import { commandLineOf, descendantsOf, isAlive, signalProcess, waitUntilGone } from './process-table.ts';
import type { Watchdog } from './watchdog.ts';

export interface ServerProcessSpec {
  /** As shown to people: 'Kafka 4.3.1'. */
  readonly label: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly logFile: string;
  readonly pidFile: string;
  /** A part of the command line that only this server of this data folder has. */
  readonly mark: string;
  /** True once the server answers. Asked again and again; `output` is what it printed since this start. */
  readonly isReady: (output: string) => Promise<boolean> | boolean;
  /** Default SIGTERM. */
  readonly stopSignal?: 'SIGTERM' | 'SIGINT';
  readonly readyWithinMs?: number;
  /** Opens a channel whose end tells the child that its starter is gone. */
  readonly ipc?: boolean;
  /** Called when it ends without `stop` or `kill`, once it was ready. */
  readonly onCrash?: (outcome: string) => void;
  readonly stopWithinMs?: number;
}

export interface ServerProcess {
  /** Resolves once it is ready. Ends it and throws when `signal` is aborted before. */
  readonly start: (signal?: AbortSignal) => Promise<void>;
  readonly stop: () => Promise<void>;
  /** SIGKILL, to it and to everything below it. */
  readonly kill: () => Promise<void>;
  readonly pid: () => number | undefined;
}

/** One poll of a server that comes up; short, since it is most of the waiting on a fast machine. */
const pollMs = 25;

export const serverProcess = (spec: ServerProcessSpec, watchdog: Watchdog): ServerProcess => {
  let pid: number | undefined;
  let isUp = false;

  const start = async (signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted();
    await stopLeftover(spec.pidFile);
    await mkdir(dirname(spec.logFile), { recursive: true });
    const logStart = await stat(spec.logFile).then(
      (file) => file.size,
      () => 0,
    );
    const log = openSync(spec.logFile, 'a');
    // In a process group of its own, so that Ctrl-C in the terminal leaves the order of stopping to the starter.
    const child = spawn(spec.command, spec.args, {
      stdio: spec.ipc ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      detached: true,
      env: spec.env ?? process.env,
      cwd: spec.cwd,
      uid: spec.uid,
      gid: spec.gid,
    });
    closeSync(log);
    let ended: string | undefined;
    child.once('error', (error) => (ended = error.message));
    child.once('exit', (code, signal) => {
      ended = `it ended with ${signal ?? `code ${code}`}`;
      if (child.pid !== undefined) watchdog.release(child.pid);
      if (pid === child.pid) pid = undefined;
      if (!isUp) return;
      isUp = false;
      spec.onCrash?.(ended);
    });
    child.unref();
    child.channel?.unref();
    pid = child.pid;
    if (pid !== undefined) {
      watchdog.watch(pid, spec.stopSignal);
      const record: PidRecord = { pid, mark: spec.mark, signal: spec.stopSignal, owner: process.pid, ownerCommand: await commandLineOf(process.pid) };
      await writeFile(spec.pidFile, `${JSON.stringify(record)}\n`);
    }
    const deadline = Date.now() + (spec.readyWithinMs ?? 60_000);
    for (;;) {
      const output = await readFrom(spec.logFile, logStart);
      if (ended !== undefined) {
        await rm(spec.pidFile, { force: true });
        throw new TributaryError('SERVER_MISSING', `${spec.label} did not start: ${ended}. Its log is ${spec.logFile}; it ends with\n${lastLines(output)}`);
      }
      if (await spec.isReady(output)) {
        isUp = true;
        return;
      }
      if (signal?.aborted) {
        await stop();
        signal.throwIfAborted();
      }
      if (Date.now() > deadline) {
        await kill();
        throw new TributaryError('SERVER_MISSING', `${spec.label} was not ready in time. Its log is ${spec.logFile}; it ends with\n${lastLines(output)}`);
      }
      await delay(pollMs);
    }
  };

  const forget = async (): Promise<void> => {
    if (pid !== undefined) watchdog.release(pid);
    pid = undefined;
    await rm(spec.pidFile, { force: true });
  };

  const stop = async (): Promise<void> => {
    isUp = false;
    if (pid === undefined) return;
    await endProcess(pid, spec.stopSignal ?? 'SIGTERM', spec.stopWithinMs ?? 10_000);
    await forget();
  };

  const kill = async (): Promise<void> => {
    isUp = false;
    if (pid === undefined) return;
    await killTree(pid);
    await forget();
  };

  return { start, stop, kill, pid: () => pid };
};

/** Asks the process to end, waits, and kills it with everything below it when it does not. */
export const endProcess = async (pid: number, signal: NodeJS.Signals, withinMs: number): Promise<void> => {
  signalProcess(pid, signal);
  if (!(await waitUntilGone([pid], withinMs))) await killTree(pid);
};

const killTree = async (pid: number): Promise<void> => {
  // PostgreSQL's children outlive it for a moment and keep its shared memory; a new start would be refused.
  const all = [pid, ...(await descendantsOf(pid))];
  for (const each of all) signalProcess(each, 'SIGKILL');
  await waitUntilGone(all, 10_000);
};

/**
 * Stops a server recorded in `pidFile` whose starter is gone. Both pid and command line must agree, since pids are given again.
 * Throws CONFLICT when its starter still runs.
 */
export const stopLeftover = async (pidFile: string): Promise<void> => {
  const text = await readFile(pidFile, 'utf8').catch(() => '');
  if (text === '') return;
  const record = parseRecord(text);
  if (record !== undefined) {
    const running = await commandLineOf(record.pid);
    if (running?.includes(record.mark)) {
      const owned = record.owner !== process.pid && (await commandLineOf(record.owner)) === record.ownerCommand && (await isAlive(record.owner));
      if (owned)
        throw new TributaryError(
          'CONFLICT',
          `${pidFile}: the server with process id ${record.pid} belongs to process ${record.owner}, which is running. Stop that one first.`,
        );
      await endProcess(record.pid, record.signal ?? 'SIGTERM', 5_000);
    }
  }
  await rm(pidFile, { force: true });
};

/** What a pid file holds. */
interface PidRecord {
  readonly pid: number;
  readonly mark: string;
  /** Asks it to end; default SIGTERM. */
  readonly signal: 'SIGTERM' | 'SIGINT' | undefined;
  readonly owner: number;
  readonly ownerCommand: string | undefined;
}

const parseRecord = (text: string): PidRecord | undefined => {
  try {
    const { pid, mark, signal, owner, ownerCommand } = JSON.parse(text) as Record<string, unknown>;
    if (typeof pid !== 'number' || typeof mark !== 'string' || mark === '' || typeof owner !== 'number') return undefined;
    return { pid, mark, signal: signal === 'SIGINT' ? signal : undefined, owner, ownerCommand: typeof ownerCommand === 'string' ? ownerCommand : undefined };
  } catch {
    return undefined;
  }
};

/** Does something listen on this port of the loopback interface? */
export const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const answer = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
    socket.setTimeout(1000, () => answer(false));
  });

/** The text of a file from a byte position on, at most the last 256 KB of it. */
const readFrom = async (path: string, start: number): Promise<string> => {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const from = Math.max(start, size - 262_144);
    if (size <= from) return '';
    const buffer = Buffer.alloc(size - from);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
};

const lastLines = (text: string): string => text.trim().split('\n').slice(-12).join('\n');
