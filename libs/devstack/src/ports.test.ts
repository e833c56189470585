import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { choosePorts, freePort, type PortRequest } from './ports.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-ports-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const hold = (port: number): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer();
    server.listen(port, '127.0.0.1', () => resolve(server));
  });

test('a port that a stranger holds is replaced until it is free again', async () => {
  const lines: string[] = [];
  const log = (line: string): number => lines.push(line);
  const requests: PortRequest[] = [
    { name: 'kafka', usual: await freePort(), stored: true },
    { name: 'redis', usual: await freePort() },
  ];
  const first = await choosePorts(folder, requests, log);
  expect(first).toEqual({ kafka: requests[0]?.usual, redis: requests[1]?.usual });
  expect(lines).toEqual([]);

  const strangers = await Promise.all([hold(first['kafka'] ?? 0), hold(first['redis'] ?? 0)]);
  const second = await choosePorts(folder, requests, log);
  expect(second['kafka']).not.toBe(first['kafka']);
  expect(lines).toEqual([
    `kafka: port ${first['kafka']} is taken by another program, using ${second['kafka']} this time; connections stored with the old one must be changed`,
    `redis: port ${first['redis']} is taken by another program, using ${second['redis']} this time`,
  ]);

  for (const stranger of strangers) await new Promise((resolve) => stranger.close(resolve));
  expect(await choosePorts(folder, requests, log)).toEqual(first);
});
