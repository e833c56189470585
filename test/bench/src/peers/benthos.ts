import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildOnce } from '../build.ts';
import type { Tool } from '../tool.ts';

const sources = fileURLToPath(new URL('../../peers/go', import.meta.url));

export const benthos: Tool = {
  name: 'benthos',
  title: 'Benthos + franz-go',
  guarantee: 'at least once',
  maps: true,
  slowToBuild: true,
  note: 'The MIT core with a small Kafka input and output of ours, since its own are not in the core: not Redpanda Connect. A Bloblang mapping on two threads, up to 4 batches in flight.',
  prepare: async (folder) => {
    const built = join(folder, 'go');
    const program = join(built, 'benthos');
    await buildOnce(sources, built, [{ program: 'go', args: ['build', '-o', program, '.'], cwd: sources }]);
    const modules = await readFile(join(sources, 'go.mod'), 'utf8');
    const versionOf = (module: string): string => new RegExp(`${module} v(\\S+)`).exec(modules)?.[1] ?? 'unknown';
    return {
      version: `Benthos ${versionOf('benthos/v4')}, franz-go ${versionOf('twmb/franz-go')}`,
      launch: ({ brokers, source, target, messages }) =>
        Promise.resolve({
          command: program,
          args: ['-c', join(sources, 'copy.yaml')],
          env: { BROKERS: brokers, SOURCE: source, TARGET: target, MESSAGES: String(messages) },
          signals: 'lines',
        }),
    };
  },
};
