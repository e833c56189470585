/** Runs one copy in processes of its own and measures it from the moment it has its partitions until all is durable. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KafkaClient } from '@tributary/kafka/connection';
import { latestOffsets, topicPartitions } from '@tributary/kafka/topics';
import { cpuMicrosOf, machineCpu, peakMegabytesOf, processTree } from './processes.ts';
import type { CopyJob, Launch } from './tool.ts';

export interface Measurement {
  readonly seconds: number;
  readonly messagesPerSecond: number;
  /** User and system time of the tool's processes, per message. */
  readonly cpuMicros: number;
  readonly brokerCpuMicros: number;
  readonly peakMegabytes: number;
  /** Before the copy: from the start of the program until it had its partitions. */
  readonly startSeconds: number;
  readonly startCpuSeconds: number;
  /** Share of the machine that everything besides tool and broker used meanwhile, this bench included: 0 to 1. */
  readonly otherLoad: number;
  /** Share that the host took away. */
  readonly stolen: number;
}

interface Sample {
  readonly at: number;
  readonly tool: number;
  readonly broker: number;
  readonly busy: number;
  readonly stolen: number;
}

/** Share of the machine used by others above which a copy was disturbed, so that its figures say nothing beside those of another tool. */
export const quietLoad = 0.15;

const quietSpanMs = 2_000;

/** Waits until the machine has little else to do, but no longer than `patienceMs`. */
export const waitForQuiet = async (patienceMs: number, stopping: AbortSignal): Promise<void> => {
  const until = performance.now() + patienceMs;
  while (performance.now() < until) {
    const [before, since] = [machineCpu().busy, performance.now()];
    await sleep(quietSpanMs, undefined, { signal: stopping });
    if ((machineCpu().busy - before) / ((performance.now() - since) * 1000 * cpus().length) < quietLoad) return;
  }
};

const limitMs = 300_000;
const pollMs = 20;

/** @throws when the program ends early or takes longer than five minutes; its output is in the job's folder. */
export const measureCopy = async (
  job: CopyJob,
  launch: Launch,
  { client, brokerPid, stopping }: { readonly client: KafkaClient; readonly brokerPid: number; readonly stopping: AbortSignal },
): Promise<Measurement> => {
  const logFile = join(job.folder, 'output.log');
  const log = createWriteStream(logFile);
  const startedAt = performance.now();
  const child = spawn(launch.command, launch.args, { cwd: job.folder, env: { ...process.env, ...launch.env }, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.pipe(log, { end: false });
  const sample = (): Sample => {
    const { busy, stolen } = machineCpu();
    return { at: performance.now(), tool: cpuMicrosOf(processTree(child.pid ?? -1)), broker: cpuMicrosOf([brokerPid]), busy, stolen };
  };

  const marks = new Map<string, Sample>();
  const signals = Promise.withResolvers<void>();
  signals.promise.catch(() => undefined);
  let peak = 0;
  const mark = (name: string): void => {
    if (!marks.has(name)) marks.set(name, sample());
    if (name !== 'done') return;
    peak = peakMegabytesOf(processTree(child.pid ?? -1));
    signals.resolve();
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (launch.signals === 'lines' && (line === 'ready' || line === 'done')) mark(line);
    else log.write(`${line}\n`);
  });
  child.on('error', (error) => signals.reject(error));
  child.on('exit', (code, signal) =>
    signals.reject(new Error(`It ended with ${signal ?? `code ${code}`} before the copy was complete; its output is in ${logFile}.`)),
  );
  const onStop = (): void => signals.reject(stopping.reason);
  stopping.addEventListener('abort', onStop, { once: true });
  const limit = setTimeout(() => signals.reject(new Error(`It was not done after ${limitMs / 1000} seconds; its output is in ${logFile}.`)), limitMs);

  try {
    if (launch.signals === 'topic')
      void watchTopic(client, launch.target ?? job.target, job.messages, mark, () => child.exitCode !== null || child.killed).catch((error: unknown) =>
        signals.reject(error),
      );
    await signals.promise;
  } finally {
    clearTimeout(limit);
    stopping.removeEventListener('abort', onStop);
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(force);
    }
    log.end();
  }

  const ready = marks.get('ready');
  const done = marks.get('done');
  if (ready === undefined || done === undefined) throw new Error(`It was done without having been ready; its output is in ${logFile}.`);
  const seconds = (done.at - ready.at) / 1000;
  const tool = done.tool - ready.tool;
  const broker = done.broker - ready.broker;
  const machine = seconds * 1e6 * cpus().length;
  return {
    seconds,
    messagesPerSecond: job.messages / seconds,
    cpuMicros: tool / job.messages,
    brokerCpuMicros: broker / job.messages,
    peakMegabytes: peak,
    startSeconds: (ready.at - startedAt) / 1000,
    startCpuSeconds: ready.tool / 1e6,
    otherLoad: Math.max(0, done.busy - ready.busy - tool - broker) / machine,
    stolen: (done.stolen - ready.stolen) / machine,
  };
};

/** Marks `ready` and `done` by how much the topic holds. */
const watchTopic = async (client: KafkaClient, topic: string, messages: number, mark: (name: string) => void, over: () => boolean): Promise<void> => {
  while (!over()) {
    const partitions = await topicPartitions(client, topic).catch(() => []);
    const ends = partitions.length === 0 ? new Map<number, bigint>() : await latestOffsets(client, topic, partitions);
    const held = [...ends.values()].reduce((sum, end) => sum + end, 0n);
    if (held > 0n) mark('ready');
    if (held >= BigInt(messages)) {
      mark('done');
      return;
    }
    await sleep(pollMs);
  }
};
