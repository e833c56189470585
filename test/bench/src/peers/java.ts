import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildOnce, run, versionInPom } from '../build.ts';
import type { Tool } from '../tool.ts';

const sources = fileURLToPath(new URL('../../peers/java', import.meta.url));

const java = (guarantee: Tool['guarantee'], about: Pick<Tool, 'name' | 'title' | 'note'>): Tool => ({
  ...about,
  guarantee,
  maps: true,
  prepare: async (folder) => {
    const built = join(folder, 'java');
    const jars = join(built, 'jars');
    const goals = ['package', 'dependency:copy-dependencies', '-DincludeScope=runtime', `-Dbuilt=${built}`, `-DoutputDirectory=${jars}`];
    await buildOnce(sources, built, [{ program: 'mvn', args: ['-q', '-B', ...goals], cwd: sources }]);
    const runtime = /version "([^"]+)"/.exec(await run({ program: 'java', args: ['-version'], cwd: folder }))?.[1] ?? 'unknown';
    return {
      version: `Java ${runtime}, kafka-clients ${await versionInPom(sources, 'kafka-clients')}, Jackson ${await versionInPom(sources, 'jackson-databind')}`,
      launch: ({ brokers, source, target, messages }) =>
        Promise.resolve({
          command: 'java',
          args: [
            '-Xms256m',
            '-Xmx512m',
            '-cp',
            `${join(built, 'bench-java-1.jar')}:${jars}/*`,
            'tributary.bench.Copy',
            brokers,
            source,
            target,
            String(messages),
            guarantee.replaceAll(' ', '-'),
          ],
          signals: 'lines',
        }),
    };
  },
});

const settings = 'Jackson tree model; 5,000 records a poll, linger 10 ms, batches of 128 KiB, 512 MB heap.';

export const javaAtLeastOnce = java('at least once', {
  name: 'java',
  title: 'Java clients + Jackson',
  note: `Idempotent producer, flush and offsets once a second. ${settings}`,
});

export const javaExactlyOnce = java('exactly once', {
  name: 'java-transactions',
  title: 'Java clients + Jackson, transactions',
  note: `Read, process, write: messages and offsets in one transaction every 100 ms, the interval of Kafka Streams. ${settings}`,
});
