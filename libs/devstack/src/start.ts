// `npm start`: the servers, the four services, and the sample that shows data moving. Ctrl-C stops all that it started.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TributaryError, messageOf } from '@tributary/errors/error';
import { namespaceSettings } from '@tributary/runtime/env';
import { choosePorts, freePort, isPortFree } from './ports.ts';
import { demoEmail, publishEarthquakes, runSample, type SampleCounts } from './sample.ts';
import { readSecrets } from './secrets-file.ts';
import { stopLeftover } from './server-process.ts';
import { serviceEnvironment, serviceMain, serviceNames, services, usualNamespace, type ServiceName } from './service-settings.ts';
import { takeStartLock } from './single-start.ts';
import { serverNames, type ServerName } from './server.ts';
import { externalServers, startServers } from './stack.ts';
import { createSupervisor, pidFileOf } from './supervisor.ts';

const root = dirname(dirname(dirname(import.meta.dirname)));
const local = join(root, '.local');
const runFile = join(local, 'run.json');
/** The bootstrap says when the command was given; without it, this process's own start. */
const startedAt = Number(process.env['TRIBUTARY_STARTED_AT'] ?? performance.timeOrigin);
const usualGatewayPort = 8080;

const say = (line: string): void => console.log(line);
const elapsed = (): string => `${((Date.now() - startedAt) / 1000).toFixed(1)} s`;
const progress = (line: string): void => say(`[${elapsed()}] ${line}`);

const gatewayPort = async (): Promise<number> => {
  const given = process.env['PORT'];
  // The gateway answers on all interfaces, so a server on any of them is in its way.
  const isFree = async (port: number): Promise<boolean> => (await isPortFree(port)) && (await isPortFree(port, '0.0.0.0'));
  if (given !== undefined && given !== '') {
    const port = Number(given);
    if (!Number.isInteger(port) || port < 1 || port > 65535)
      throw new TributaryError('SETTING_INVALID', `PORT is "${given}"; it must be a number from 1 to 65535.`);
    if (!(await isFree(port)))
      throw new TributaryError(
        'SETTING_INVALID',
        `PORT ${port} is taken by another program. Give another one, or leave PORT out to use the next that is free.`,
      );
    return port;
  }
  for (let port = usualGatewayPort; port < usualGatewayPort + 100; port += 1) {
    if (!(await isFree(port))) continue;
    if (port !== usualGatewayPort) say(`Port ${usualGatewayPort} is taken, using ${port}`);
    return port;
  }
  return freePort();
};

const writeRunFile = async (content: object): Promise<void> => {
  // It holds the password of the database.
  await writeFile(`${runFile}.new`, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
  await rename(`${runFile}.new`, runFile);
};

const countsLine = (table: string, { read, written, filtered, rejected, rows }: SampleCounts): string =>
  `Sample pipeline "${table}": ${read} read = ${written} written + ${filtered} filtered + ${rejected} rejected; ${rows} rows in table ${table}`;

/** What this installation calls its own on servers that others may use as well. */
interface Names {
  readonly namespace: string;
  readonly mongoDatabase: string;
  /** Of the sample. */
  readonly table: string;
}

const namesOf = (installationId: string): Names => {
  const external = externalServers();
  const given = process.env['NAMESPACE'] ?? '';
  if (given !== '') {
    const { error } = namespaceSettings.NAMESPACE.safeParse(given);
    if (error !== undefined) throw new TributaryError('SETTING_INVALID', `NAMESPACE is "${given}"; it ${error.issues[0]?.message}.`);
  }
  const isShared = external.kafka !== undefined || external.redis !== undefined || external.mongodb !== undefined;
  const namespace = given !== '' ? given : isShared ? `${usualNamespace}-${installationId}` : usualNamespace;
  const database = process.env['MONGO_DATABASE'] ?? '';
  const mongoDatabase = database === '' ? namespace : database;
  if (namespace !== usualNamespace) {
    const origin = given === '' ? 'others may use the given servers too; NAMESPACE sets another' : 'as NAMESPACE says';
    progress(`Namespace "${namespace}" for topics, groups and keys, MongoDB database "${mongoDatabase}" (${origin})`);
  }
  return { namespace, mongoDatabase, table: external.postgres === undefined ? 'earthquakes' : `earthquakes_${installationId}` };
};

/** Services of a start that was killed: they hold their ports. Servers are looked after in `startServers`. */
const stopLeftServices = async (pidFolder: string): Promise<void> => {
  await Promise.all(serviceNames.map((name) => stopLeftover(pidFileOf(pidFolder, name))));
};

const undo: { readonly name: string; readonly run: () => Promise<void> }[] = [];
const interrupted = new AbortController();
let stopping: Promise<void> | undefined;

/** Undoes all that was done, the last first. */
const stopAll = (): Promise<void> => {
  stopping ??= (async () => {
    for (const { name, run } of undo.toReversed()) {
      await run().catch((error: unknown) => console.error(`Stopping ${name}: ${messageOf(error)}`));
    }
  })();
  return stopping;
};

const up = async (): Promise<void> => {
  const fileRoot = join(local, 'files');
  await mkdir(fileRoot, { recursive: true });
  const release = await takeStartLock(join(local, 'start.lock'), runFile);
  undo.push({ name: 'the lock', run: release });

  const pidFolder = join(local, 'pids');
  await stopLeftServices(pidFolder);
  const port = await gatewayPort();
  const secrets = await readSecrets(join(local, 'secrets.json'));
  const { namespace, mongoDatabase, table } = namesOf(secrets.installationId);
  const ports = await choosePorts(
    local,
    serviceNames.filter((name) => name !== 'gateway').map((name) => ({ name })),
    progress,
  );
  const portOf = (name: ServiceName): number => (name === 'gateway' ? port : (ports[name] ?? 0));

  const answering = Object.fromEntries(serverNames.map((name) => [name, Promise.withResolvers<string>()])) as Record<ServerName, PromiseWithResolvers<string>>;
  const servers = startServers(serverNames, {
    dataDir: join(local, 'data'),
    log: progress,
    signal: interrupted.signal,
    keepUp: true,
    onUp: (name, url) => answering[name].resolve(url),
  });
  // Rejects when a server does not come up, and has then stopped the others itself.
  undo.push({
    name: 'the servers',
    run: () =>
      servers.then(
        (stack) => stack.stop(),
        () => undefined,
      ),
  });
  const supervisor = createSupervisor({ root, logFolder: join(local, 'logs'), pidFolder, log: progress, signal: interrupted.signal });
  undo.push({ name: 'the services', run: supervisor.stop });

  const bring = async (name: ServiceName): Promise<void> => {
    const urls = Object.fromEntries(await Promise.all(services[name].map(async (server) => [server, await answering[server].promise] as const)));
    const environment = {
      ...serviceEnvironment(name, urls, { secrets, fileRoot, portOf, namespace, mongoDatabase }),
      // The second start need not compile everything again.
      NODE_COMPILE_CACHE: join(local, 'compile-cache'),
    };
    await supervisor.start({ name, main: serviceMain(root, name), port: portOf(name), environment });
    progress(`${name}: ready`);
  };
  const publish = async (): Promise<number> => publishEarthquakes(await answering.kafka.promise);
  const [stack, messages] = await Promise.all([servers, publish(), ...serviceNames.map(bring)]);
  interrupted.signal.throwIfAborted();

  const gateway = `http://127.0.0.1:${port}`;
  await writeRunFile({ gateway, ...stack.urls });
  undo.push({ name: 'run.json', run: () => rm(runFile, { force: true }) });

  const counts = await runSample({
    gateway,
    password: secrets.demoPassword,
    kafkaUrl: stack.urls.kafka,
    postgresUrl: stack.urls.postgres,
    table,
    namespace,
    mongoDatabase,
    messages,
    onFirstRow: (isNew) => progress(isNew ? 'Sample: the first row is in the table' : 'Sample: the rows of the last start are there'),
    signal: interrupted.signal,
  });
  say(`\nTributary is ready at ${gateway}`);
  say(`API docs: ${gateway}/api/docs`);
  say(countsLine(table, counts));
  say(`Demo login: ${demoEmail} / ${secrets.demoPassword}`);
  say('Ctrl-C stops it; the data stays in .local');
};

// Held until a signal comes: the children alone do not keep this process.
const alive = setInterval(() => undefined, 2 ** 30);

const onSignal = (): void => {
  if (interrupted.signal.aborted) return;
  interrupted.abort();
  say('\nStopping ...');
  void starting.then(stopAll).then(() => {
    say('Stopped');
    process.exit(0);
  });
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
// The bootstrap was killed.
process.on('disconnect', onSignal);

const starting = up().catch(async (error: unknown) => {
  if (interrupted.signal.aborted) return;
  console.error(`\nTributary did not start: ${messageOf(error)}`);
  clearInterval(alive);
  await stopAll();
  process.exit(1);
});
