// Redis, or Valkey, which speaks the same protocol.
import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findProgram } from './find-program.ts';
import { pythonServers, valkeyProgram } from './python.ts';
import { runCommand } from './run-command.ts';
import { serverProcess } from './server-process.ts';
import type { Server, ServerContext } from './server.ts';

/** BullMQ needs commands that came with this version. */
const oldestMajor = 7;

export const redisServer = async ({ folder, port: portOf, log, watchdog, onCrash }: ServerContext): Promise<Server> => {
  const { program, label } = await findRedis(log);
  const port = portOf('redis');
  const logFile = join(folder, 'redis.log');
  const data = join(folder, 'data');
  await mkdir(data, { recursive: true });
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    dir: data,
    save: '',
    appendonly: 'yes',
    // A queue that loses keys loses work: services refuse to start on a Redis that may evict.
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    // Else its command line would no longer name the data folder.
    'set-proc-title': 'no',
  };
  const process = serverProcess(
    {
      label,
      command: program,
      args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      logFile,
      pidFile: join(folder, 'redis.pid'),
      mark: `--dir ${data} `,
      isReady: () => answersPing(port),
      onCrash,
    },
    watchdog,
  );
  return { label, url: `redis://127.0.0.1:${port}/0`, logFile, ...process };
};

const findRedis = async (log: (line: string) => void): Promise<{ program: string; label: string }> => {
  const onPath = findProgram(['valkey-server', 'redis-server']);
  if (onPath !== undefined) {
    const { name, version } = await versionOf(onPath);
    if (Number.parseInt(version, 10) >= oldestMajor) return { program: onPath, label: `${name} ${version}` };
    log(`Redis: ${onPath} is version ${version}, older than ${oldestMajor}; using a private copy`);
  }
  const program = await valkeyProgram(await pythonServers(log));
  const { name, version } = await versionOf(program);
  return { program, label: `${name} ${version}` };
};

const versionOf = async (program: string): Promise<{ name: string; version: string }> => {
  const output = await runCommand(program, ['--version'], { purpose: `Asking ${program} for its version` });
  return { name: output.startsWith('Valkey') ? 'Valkey' : 'Redis', version: /v=([\d.]+)/.exec(output)?.[1] ?? '0' };
};

/** While it loads its data it answers `-LOADING`. */
const answersPing = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write('PING\r\n'));
    const answer = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('data', (data) => answer(data.toString().startsWith('+PONG')));
    socket.once('error', () => answer(false));
    socket.setTimeout(1000, () => answer(false));
  });
