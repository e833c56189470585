import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createRequire } from 'node:module';
import type { Tool } from '../tool.ts';

const program = fileURLToPath(new URL('../../peers/kafkajs/copy.mjs', import.meta.url));
const fromKafkaLibrary = createRequire(new URL('../../../../libs/kafka/package.json', import.meta.url));

export const kafkajs: Tool = {
  name: 'kafkajs',
  title: 'kafkajs as it is',
  guarantee: 'at least once',
  maps: true,
  note: 'eachBatch over four partitions at once, JSON.parse and JSON.stringify; producer with acks −1, not idempotent (its default).',
  prepare: async () => {
    const { version } = JSON.parse(await readFile(fromKafkaLibrary.resolve('kafkajs/package.json'), 'utf8')) as { version: string };
    return {
      version: `kafkajs ${version}`,
      launch: ({ brokers, source, target, messages }) =>
        Promise.resolve({ command: process.execPath, args: [program, brokers, source, target, String(messages)], signals: 'lines' }),
    };
  },
};
