// Keeps the services of `npm start` running: starts them, waits until they are ready, starts them again when they crash.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createReviver, type Reviver } from './reviver.ts';
import { serverProcess, type ServerProcess } from './server-process.ts';
import { startWatchdog } from './watchdog.ts';

export interface ServiceSpec {
  readonly name: string;
  /** Its main.ts. */
  readonly main: string;
  readonly port: number;
  /** All of its environment besides what a program needs to run at all. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface Supervisor {
  /** Starts one service and waits until /readyz answers 200. Services may be started side by side. Throws when it does not come up. */
  readonly start: (spec: ServiceSpec) => Promise<void>;
  /** Ends all services, the last started first. */
  readonly stop: () => Promise<void>;
}

interface SupervisorOptions {
  /** Folder of the clone. */
  readonly root: string;
  readonly logFolder: string;
  readonly pidFolder: string;
  readonly log: (line: string) => void;
  /** Gives up services that are starting. */
  readonly signal: AbortSignal;
}

/** What a program needs of our environment. The rest stays here, so that a service has only the settings it is given. */
const passedOn = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS', 'LOG_LEVEL'];

export const createSupervisor = ({ root, logFolder, pidFolder, log, signal }: SupervisorOptions): Supervisor => {
  const watchdog = startWatchdog();
  const running: { readonly process: ServerProcess; readonly reviver: Reviver }[] = [];
  const stopping = new AbortController();
  const givenUp = AbortSignal.any([stopping.signal, signal]);
  const inherited = Object.fromEntries(passedOn.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));

  const start = async (spec: ServiceSpec): Promise<void> => {
    const logFile = join(logFolder, `${spec.name}.log`);
    const reviver = createReviver({ label: spec.name, logFile, log, start: (ended) => service.start(ended), signal: givenUp });
    const service = serverProcess(
      {
        label: spec.name,
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', spec.main],
        env: { ...inherited, ...spec.environment, PORT: String(spec.port) },
        cwd: root,
        logFile,
        pidFile: pidFileOf(pidFolder, spec.name),
        mark: spec.main,
        isReady: () => answersReady(spec.port),
        ipc: true,
        // A service hands back its work; it ends itself after 25 s.
        stopWithinMs: 27_000,
        onCrash: reviver.crashed,
      },
      watchdog,
    );
    await mkdir(pidFolder, { recursive: true });
    running.push({ process: service, reviver });
    await service.start(givenUp);
    reviver.arm();
  };

  const stop = async (): Promise<void> => {
    stopping.abort();
    for (const { process: service, reviver } of running.toReversed()) {
      await reviver.settled();
      await service.stop();
    }
    watchdog.close();
  };

  return { start, stop };
};

export const pidFileOf = (pidFolder: string, name: string): string => join(pidFolder, `${name}.pid`);

export const answersReady = async (port: number): Promise<boolean> => {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
};
