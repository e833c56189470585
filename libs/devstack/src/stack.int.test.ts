import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isAlive, signalProcess, waitUntilGone } from './process-table.ts';
import { startServers } from './stack.ts';

let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-devstack-'));
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

const pidOf = async (name: string): Promise<number> => {
  const { pid } = JSON.parse(await readFile(join(dataDir, name, `${name}.pid`), 'utf8')) as { pid: number };
  return pid;
};

describe('a stack', () => {
  test('keeps ports and data over a stop, and comes back after SIGKILL', async () => {
    const options = { dataDir, ephemeralPorts: true, external: {} };
    const first = await startServers(['redis', 'postgres'], options);
    await first.stop();
    const second = await startServers(['redis', 'postgres'], options);
    try {
      expect(second.urls).toEqual(first.urls);
      await second.kill('postgres');
      await second.start('postgres');
      expect(await isAlive(await pidOf('postgres'))).toBe(true);
    } finally {
      await second.stop();
    }
  });

  test('ends with its starter, even when that one is killed', async () => {
    const script = `
      const { startServers } = await import(${JSON.stringify(join(import.meta.dirname, 'stack.ts'))});
      await startServers(['redis'], { dataDir: ${JSON.stringify(dataDir)}, ephemeralPorts: true, external: {} });
      console.log('up');
      setInterval(() => {}, 1000);
    `;
    const starter = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => starter.stdout.once('data', resolve));
    const pid = await pidOf('redis');
    await expect(startServers(['redis'], { dataDir, ephemeralPorts: true, external: {} })).rejects.toThrow(/belongs to process/);
    signalProcess(starter.pid ?? 0, 'SIGKILL');
    expect(await waitUntilGone([pid], 10_000)).toBe(true);
  });

  test('stops what a killed starter left, by pid and command line', async () => {
    const options = { dataDir, ephemeralPorts: true, external: {} };
    const stack = await startServers(['redis'], options);
    const pid = await pidOf('redis');
    const file = join(dataDir, 'redis/redis.pid');
    const record = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    await writeFile(file, JSON.stringify({ ...record, owner: 2 ** 22, ownerCommand: 'gone' }));
    const next = await startServers(['redis'], options);
    expect(await isAlive(pid)).toBe(false);
    await next.stop();
    await stack.stop();
  });

  test('keeps the ports of servers that a killed starter left, PostgreSQL with clients among them', async () => {
    const options = { dataDir, ephemeralPorts: true, external: {} };
    const first = await startServers(['redis', 'postgres'], options);
    const client = new pg.Client({ connectionString: first.urls.postgres });
    client.on('error', () => undefined);
    await client.connect();
    for (const name of ['redis', 'postgres']) {
      const file = join(dataDir, name, `${name}.pid`);
      const record = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
      await writeFile(file, JSON.stringify({ ...record, owner: 2 ** 22, ownerCommand: 'gone' }));
    }
    const lines: string[] = [];
    const second = await startServers(['redis', 'postgres'], { ...options, log: (line) => lines.push(line) });
    expect(second.urls).toEqual(first.urls);
    expect(lines.join('\n')).not.toContain('taken');
    await client.end().catch(() => undefined);
    await second.stop();
    await first.stop();
  });

  test('starts a server that died again when it is asked to keep it up, and only then', async () => {
    const lines: string[] = [];
    const options = { dataDir, ephemeralPorts: true, external: {}, log: (line: string) => lines.push(line) };
    const kept = await startServers(['redis', 'postgres'], { ...options, keepUp: true });
    const before = await Promise.all([pidOf('redis'), pidOf('postgres')]);
    for (const pid of before) signalProcess(pid, 'SIGKILL');
    await expect.poll(() => lines.filter((line) => line.endsWith(': runs again')).length, { timeout: 30_000 }).toBe(2);
    const after = await Promise.all([pidOf('redis'), pidOf('postgres')]);
    expect(await Promise.all(after.map(isAlive))).toEqual([true, true]);
    const said = lines.filter((line) => line.includes('SIGKILL; starting it again in 0.5 s'));
    expect(said.some((line) => line.includes(join(dataDir, 'redis/redis.log')))).toBe(true);
    expect(said.some((line) => line.includes(join(dataDir, 'postgres/postgres.log')))).toBe(true);
    // Killed on purpose: left as it is.
    await kept.kill('redis');
    const again = lines.length;
    // In the middle of a pause.
    signalProcess(after[1] ?? 0, 'SIGKILL');
    await expect.poll(() => lines.length, { timeout: 10_000 }).toBeGreaterThan(again);
    await kept.stop();
    expect(await waitUntilGone([...before, ...after], 100)).toBe(true);
    expect(lines.slice(again).join('\n')).not.toMatch(/Redis|Valkey|runs again/);

    const plain = await startServers(['redis'], options);
    const pid = await pidOf('redis');
    const quiet = lines.length;
    signalProcess(pid, 'SIGKILL');
    expect(await waitUntilGone([pid], 5_000)).toBe(true);
    await delay(1_000);
    expect(lines.length).toBe(quiet);
    await plain.stop();
  });

  test('gives a URL that is there already as it is, and refuses to stop that server', async () => {
    const stack = await startServers(['redis'], { dataDir, external: { redis: 'redis://elsewhere:6379/0' } });
    expect(stack.urls.redis).toBe('redis://elsewhere:6379/0');
    await expect(stack.restart('redis')).rejects.toThrow(/not started here/);
    await stack.stop();
  });
});
