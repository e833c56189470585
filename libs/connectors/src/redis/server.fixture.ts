/** A server of its own for a test that changes its settings or kills it; the program is that of the shared one. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { testServers } from '@tributary/devstack/testing';

export interface OwnServer {
  readonly url: string;
  /** SIGKILL, then the same data in a new process. */
  readonly crash: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
};

export const ownServer = async (settings: Readonly<Record<string, string>>): Promise<OwnServer> => {
  const shared = new Redis(testServers().redis);
  const executable = /^executable:(\S+)/m.exec(await shared.info('server'))?.[1];
  shared.disconnect();
  if (executable === undefined) throw new Error('The shared server does not say which program it is.');
  const folder = await mkdtemp(path.join(tmpdir(), 'tributary-redis-'));
  const port = await freePort();
  const all = { port: String(port), bind: '127.0.0.1', dir: folder, save: '', ...settings };
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(
      executable,
      Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    for await (const line of child.stdout) if (String(line).includes('Ready to accept connections')) break;
    child.stdout.resume();
    return child;
  };
  let child = await start();
  const kill = async (): Promise<void> => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  return {
    url: `redis://127.0.0.1:${port}/0`,
    crash: async () => {
      await kill();
      child = await start();
    },
    stop: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
