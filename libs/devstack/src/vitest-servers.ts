// Runs once in vitest's own process before the first test file that needs servers: brings them up, hands their URLs to the
// test processes through the environment, and stops them after the last file.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startServers } from './stack.ts';

export const setup = async (): Promise<(() => Promise<void>) | undefined> => {
  // Set when the servers are shared with another project of the same run.
  if (process.env['TEST_KAFKA_URL'] !== undefined) return undefined;
  const parent = join(import.meta.dirname, '../../../.local/test');
  await mkdir(parent, { recursive: true });
  const dataDir = await mkdtemp(join(parent, 'servers-'));
  const stack = await startServers(['kafka', 'redis', 'mongodb', 'postgres'], {
    dataDir,
    secureKafka: true,
    ephemeralPorts: true,
    log: (line) => process.stderr.write(`${line}\n`),
  });
  process.env['TEST_KAFKA_URL'] = stack.urls.kafka;
  process.env['TEST_REDIS_URL'] = stack.urls.redis;
  process.env['TEST_MONGO_URI'] = stack.urls.mongodb;
  process.env['TEST_POSTGRES_URL'] = stack.urls.postgres;
  if (stack.kafkaSecure !== undefined) process.env['TEST_KAFKA_SECURE'] = JSON.stringify(stack.kafkaSecure);
  return async () => {
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
};
