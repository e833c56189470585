import { fileURLToPath } from 'node:url';
import type { Tool } from '../tool.ts';

const program = fileURLToPath(new URL('../tributary-copy.ts', import.meta.url));

/** As a worker is started. */
const nodeOptions = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=64'];

const tributary = (way: 'mapped' | 'untouched', about: Pick<Tool, 'name' | 'title' | 'note'>): Tool => ({
  ...about,
  guarantee: 'exactly once',
  maps: way === 'mapped',
  prepare: () =>
    Promise.resolve({
      version: `Node ${process.versions.node}`,
      launch: ({ brokers, source, target, messages }) =>
        Promise.resolve({ command: process.execPath, args: [...nodeOptions, program, brokers, source, target, String(messages), way], signals: 'lines' }),
    }),
});

export const tributaryMapped = tributary('mapped', {
  name: 'tributary',
  title: 'Tributary',
  note: 'One slot of the engine over all four partitions, mapper compiled from its configuration, with a worker’s default memory; rows and checkpoint in one transaction per delivery of up to 10,000 rows.',
});

export const tributaryUntouched = tributary('untouched', {
  name: 'tributary-untouched',
  title: 'Tributary, no mapper',
  note: 'The same without a mapper: records pass as they are, not parsed.',
});
