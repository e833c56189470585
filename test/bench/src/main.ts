/** `npm run bench`: the Kafka copy, Tributary beside its peers. See docs/performance.md for what it measures. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem, type } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startServers } from '@tributary/devstack/stack';
import { messageOf } from '@tributary/errors/error';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { createTopicIfMissing } from '@tributary/kafka/topics';
import { isComplete, partitions, readContent, writeSource, type Expected } from './check.ts';
import { measureCopy, waitForQuiet } from './measure.ts';
import { renderPage } from './page.ts';
import { benthos } from './peers/benthos.ts';
import { javaAtLeastOnce, javaExactlyOnce } from './peers/java.ts';
import { kafkajs } from './peers/kafkajs.ts';
import { mirrorMaker } from './peers/mirrormaker.ts';
import { tributaryMapped, tributaryUntouched } from './peers/tributary.ts';
import { appendResult, lastCompleteRun, type CopyResult, type RunSummary } from './results.ts';
import type { Tool } from './tool.ts';

const tools: readonly Tool[] = [tributaryMapped, kafkajs, javaAtLeastOnce, javaExactlyOnce, benthos, tributaryUntouched, mirrorMaker];

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const folder = join(root, '.local/bench');
const resultsFile = join(folder, 'results.jsonl');
const pageFile = join(root, 'docs/performance.md');

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const usage = `npm run bench -- [--short] [--messages N] [--runs N] [--patience SECONDS] [--only ${tools.map(({ name }) => name).join(',')}] [--page]
  --short     200,000 messages, once, without the tools that take long to build
  --patience  how long each copy waits for a quiet machine before it begins (20; with --short 0)
  --page      only writes docs/performance.md again from the last complete run`;

const wholeNumber = (text: string, flag: string, least = 1): number => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least) throw new Error(`--${flag} takes a whole number from ${least} on, not "${text}".\n${usage}`);
  return number;
};

interface Options {
  readonly messages: number;
  readonly rounds: number;
  readonly patienceMs: number;
  readonly chosen: readonly Tool[];
  readonly complete: boolean;
  readonly pageOnly: boolean;
}

const readOptions = (): Options => {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      page: { type: 'boolean', default: false },
      messages: { type: 'string' },
      runs: { type: 'string' },
      patience: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const names = values.only?.split(',');
  const unknown = names?.find((name) => !tools.some((tool) => tool.name === name));
  if (unknown !== undefined) throw new Error(`There is no tool "${unknown}".\n${usage}`);
  return {
    messages: wholeNumber(values.messages ?? (values.short ? '200000' : '1000000'), 'messages'),
    rounds: wholeNumber(values.runs ?? (values.short ? '1' : '3'), 'runs'),
    patienceMs: 1000 * wholeNumber(values.patience ?? (values.short ? '0' : '20'), 'patience', 0),
    chosen: names === undefined ? tools.filter((tool) => !values.short || tool.slowToBuild !== true) : tools.filter(({ name }) => names.includes(name)),
    complete: names === undefined && !values.short,
    pageOnly: values.page,
  };
};

const writePage = async (): Promise<void> => {
  const run = await lastCompleteRun(resultsFile);
  if (run === null) throw new Error('There is no complete run yet: run `npm run bench` without --short and --only.');
  await writeFile(pageFile, renderPage(run));
  say(`Wrote ${relative(root, pageFile)}.`);
};

type Launcher = Awaited<ReturnType<Tool['prepare']>>['launch'];

interface Prepared {
  readonly tool: Tool;
  readonly version: string | null;
  readonly launch: Launcher | null;
  failure: string | null;
}

const prepare = async (tool: Tool): Promise<Prepared> => {
  try {
    const { version, launch } = await tool.prepare(folder);
    return { tool, version, launch, failure: null };
  } catch (error) {
    const failure = messageOf(error);
    say(`${tool.title}: cannot be run here. ${failure}`);
    return { tool, version: null, launch: null, failure };
  }
};

const describeMachine = (): RunSummary['machine'] => ({
  processor: cpus()[0]?.model ?? 'unknown processor',
  cores: cpus().length,
  memoryGigabytes: Math.round(totalmem() / 2 ** 30),
  system: `${type()} ${release().split('-')[0]}`,
});

const deleteTopic = async (client: KafkaClient, topic: string): Promise<void> => {
  const admin = client.kafkajs.admin();
  await admin.connect();
  try {
    await admin.deleteTopics({ topics: [topic] });
  } finally {
    await admin.disconnect();
  }
};

const source = 'source';

/** For one copy only: a client keeps asking about every topic it has seen, also after that was deleted. */
const withClient = async <Result>(brokers: string, work: (client: KafkaClient) => Promise<Result>): Promise<Result> => {
  const client = await connectKafka({ brokers: [brokers], clientId: 'bench', securityProtocol: 'PLAINTEXT' });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
};

const writeAndCheckSource = (brokers: string, messages: number): Promise<Expected> =>
  withClient(brokers, async (client) => {
    const expected = await writeSource(client, source, messages);
    const written = await readContent(client, source, expected, false);
    if (!isComplete(written)) throw new Error(`The source topic is not as it was written: ${JSON.stringify(written)}.`);
    say(`${messages.toLocaleString('en-US')} messages of ${Math.round(expected.bytes)} bytes in ${partitions} partitions.`);
    return expected;
  });

interface Place {
  readonly brokers: string;
  readonly brokerPid: number;
  readonly run: string;
  readonly round: number;
  readonly expected: Expected;
  readonly patienceMs: number;
  readonly stopping: AbortSignal;
}

/** One copy, measured and checked. What it left in Kafka is deleted, its files are kept. */
const copyOnce = async ({ brokers, brokerPid, run, round, expected, patienceMs, stopping }: Place, tool: Tool, launch: Launcher): Promise<CopyResult> => {
  const own = join(folder, 'copies', `${tool.name}-${round}`);
  await rm(own, { recursive: true, force: true });
  await mkdir(own, { recursive: true });
  const job = { brokers, source, target: `copy-${tool.name}-${round}`, messages: expected.messages, folder: own };
  const launched = await launch(job);
  const target = launched.target ?? job.target;
  return withClient(brokers, async (client) => {
    await createTopicIfMissing(client, { topic: target, partitions });
    try {
      await waitForQuiet(patienceMs, stopping);
      const measured = await measureCopy(job, launched, { client, brokerPid, stopping });
      const content = await readContent(client, target, expected, tool.maps);
      return { kind: 'copy', run, tool: tool.name, round, measured, content };
    } finally {
      await deleteTopic(client, target);
    }
  });
};

const copyAndRecord = async (place: Place, one: Prepared): Promise<void> => {
  if (one.launch === null) return;
  try {
    const result = await copyOnce(place, one.tool, one.launch);
    say(describe(one.tool, result));
    if (isComplete(result.content)) await appendResult(resultsFile, result);
    else one.failure = `Its copy was not complete in round ${place.round}: ${JSON.stringify(result.content)}.`;
  } catch (error) {
    place.stopping.throwIfAborted();
    one.failure = messageOf(error);
    say(`${one.tool.title}: ${one.failure}`);
  }
};

const describe = ({ title }: Tool, { measured, content }: CopyResult): string =>
  [
    title.padEnd(40),
    `${Math.round(measured.messagesPerSecond).toLocaleString('en-US').padStart(8)} msg/s`,
    `${measured.cpuMicros.toFixed(2).padStart(6)} µs CPU`,
    `broker ${measured.brokerCpuMicros.toFixed(2)} µs`,
    `${Math.round(measured.peakMegabytes)} MB`,
    `other load ${Math.round(measured.otherLoad * 100)} %`,
    isComplete(content) ? `content right${content.outOfOrder > 0 ? `, ${content.outOfOrder} out of order` : ''}` : `CONTENT WRONG: ${JSON.stringify(content)}`,
  ].join('  ');

/** @throws when stopped, or when the source cannot be written. What fails with one tool is its `failure`, and the others go on. */
const measureAll = async (options: Options, stopping: AbortSignal): Promise<boolean> => {
  await mkdir(folder, { recursive: true });
  const run = new Date().toISOString();
  const prepared = await Promise.all(options.chosen.map(prepare));
  stopping.throwIfAborted();

  const dataDir = join(folder, 'servers');
  await rm(dataDir, { recursive: true, force: true });
  let kafka = 'of unknown version';
  const note = (line: string): void => {
    kafka = /^Kafka (\S+): ready/.exec(line)?.[1] ?? kafka;
    say(line);
  };
  const stack = await startServers(['kafka'], { ephemeralPorts: true, dataDir, external: {}, log: note, signal: stopping });
  try {
    const { pid } = JSON.parse(await readFile(join(dataDir, 'kafka/kafka.pid'), 'utf8')) as { pid: number };
    const brokers = new URL(stack.urls.kafka).host;
    const expected = await writeAndCheckSource(brokers, options.messages);
    for (let round = 1; round <= options.rounds; round++) {
      // Another one begins each round: the broker's own warming up is not always to the cost of the same.
      const turn = (round - 1) % prepared.length;
      for (const one of [...prepared.slice(turn), ...prepared.slice(0, turn)]) {
        stopping.throwIfAborted();
        if (one.failure === null) await copyAndRecord({ brokers, brokerPid: pid, run, round, expected, patienceMs: options.patienceMs, stopping }, one);
      }
    }
    await appendResult(resultsFile, {
      kind: 'run',
      run,
      // A tool that cannot be had is told on the page; one that failed on the way makes it another run.
      complete:
        options.complete && prepared.some(({ launch }) => launch !== null) && prepared.every(({ launch, failure }) => launch === null || failure === null),
      messages: options.messages,
      bytes: expected.bytes,
      rounds: options.rounds,
      kafka,
      machine: describeMachine(),
      tools: prepared.map(({ tool: { name, title, guarantee, maps, note: about }, version, failure }) => ({
        name,
        title,
        guarantee,
        maps,
        note: about,
        version,
        failure,
      })),
    });
  } finally {
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
  return prepared.every(({ failure }) => failure === null);
};

const main = async (): Promise<void> => {
  if (process.platform !== 'linux') throw new Error('The bench reads CPU times from /proc, so it runs on Linux only.');
  const options = readOptions();
  if (!options.pageOnly) {
    const stopping = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort(new Error(`Stopped by ${signal}.`)));
    if (!(await measureAll(options, stopping.signal))) process.exitCode = 1;
  }
  if (options.pageOnly || options.complete) await writePage();
};

try {
  await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
