// The whole platform as processes, for end-to-end and kill tests: nothing comes back by itself, so that a test sees what the platform does.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { serverNames } from './server.ts';
import { serviceEnvironment, serviceMain, type ServiceName } from './service-settings.ts';
import { startServers, type Stack } from './stack.ts';
import { choosePorts } from './ports.ts';
import { serverProcess, type ServerProcess } from './server-process.ts';
import { answersReady } from './supervisor.ts';
import { startWatchdog } from './watchdog.ts';

const root = join(import.meta.dirname, '../../..');

export interface PlatformOptions {
  /** Worker processes; default 1. */
  readonly workers?: number;
  /** Added to every service's environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Platform {
  /** http://127.0.0.1:port */
  readonly gateway: string;
  /** `gateway`, `pipelines`, `connectors`, `worker-1`, `worker-2`, … Kill and start them at will. */
  readonly services: ReadonlyMap<string, ServerProcess>;
  /** Its own servers; killing and restarting them disturbs nobody else. */
  readonly stack: Stack;
  /** Folder that file connectors may use. */
  readonly fileRoot: string;
  readonly logFolder: string;
  readonly stop: () => Promise<void>;
}

/** Starts servers and services on ports and data of their own. */
export const startPlatform = async (options: PlatformOptions = {}): Promise<Platform> => {
  const base = join(root, '.local/test-platforms');
  await mkdir(base, { recursive: true });
  const folder = await mkdtemp(join(base, 'run-'));
  const workers = Array.from({ length: options.workers ?? 1 }, (_, index) => `worker-${index + 1}`);
  const ports = await choosePorts(
    folder,
    ['gateway', 'pipelines', 'connectors', ...workers].map((name) => ({ name })),
    () => undefined,
  );
  const portOf = (name: string): number => ports[name] ?? 0;
  const fileRoot = join(folder, 'files');
  await mkdir(fileRoot, { recursive: true });
  const stack = await startServers(serverNames, { dataDir: join(folder, 'data'), ephemeralPorts: true, external: {} });
  const installation = {
    secrets: {
      jwtSecret: randomBytes(32).toString('hex'),
      serviceToken: randomBytes(32).toString('hex'),
      connectorEncryptionKey: `${randomBytes(32).toString('base64url')}=`,
    },
    fileRoot,
    portOf: (name: ServiceName): number => portOf(name === 'worker' ? 'worker-1' : name),
  };

  const watchdog = startWatchdog();
  const services = new Map<string, ServerProcess>();
  const add = (name: string, service: ServiceName): void => {
    const port = portOf(name);
    const main = serviceMain(root, service);
    services.set(
      name,
      serverProcess(
        {
          label: name,
          command: process.execPath,
          args: ['--disable-warning=ExperimentalWarning', main],
          env: {
            PATH: process.env['PATH'],
            HOME: process.env['HOME'],
            LOG_LEVEL: process.env['LOG_LEVEL'],
            ...serviceEnvironment(service, stack.urls, installation),
            ...options.environment,
            PORT: String(port),
          },
          cwd: root,
          logFile: join(folder, `${name}.log`),
          pidFile: join(folder, `${name}.pid`),
          mark: main,
          isReady: () => answersReady(port),
          ipc: true,
          stopWithinMs: 27_000,
        },
        watchdog,
      ),
    );
  };
  for (const name of ['connectors', 'pipelines', 'gateway'] as const) add(name, name);
  for (const name of workers) add(name, 'worker');

  const stop = async (): Promise<void> => {
    await Promise.all([...services.values()].map((service) => service.stop()));
    await stack.stop();
    watchdog.close();
    if (process.env['KEEP_TEST_LOGS'] === undefined) await rm(folder, { recursive: true, force: true });
  };
  const outcomes = await Promise.allSettled([...services.values()].map((service) => service.start()));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  return { gateway: `http://127.0.0.1:${portOf('gateway')}`, services, stack, fileRoot, logFolder: folder, stop };
};
