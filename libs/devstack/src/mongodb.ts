// MongoDB: `mongod` as a replica set of one, else SecantusDB, a separate program that speaks MongoDB's protocol.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient, MongoServerError, type Document } from 'mongodb';
import { findProgram } from './find-program.ts';
import { pythonServers } from './python.ts';
import { runCommand } from './run-command.ts';
import { isListening, serverProcess, type ServerProcess } from './server-process.ts';
import type { Server, ServerContext } from './server.ts';

export const mongodbServer = async (context: ServerContext): Promise<Server> => {
  const port = context.port('mongodb');
  const url = `mongodb://127.0.0.1:${port}`;
  const mongod = findProgram(['mongod']);
  if (mongod === undefined) {
    const process = await secantus(context, port);
    return { ...process, url };
  }
  const process = await replicaSet(context, port, mongod);
  const start = async (signal?: AbortSignal): Promise<void> => {
    await process.start(signal);
    await initiate(port);
  };
  return { ...process, url, start };
};

type Labelled = ServerProcess & { readonly label: string; readonly logFile: string };

const secantus = async ({ folder, log, watchdog, onCrash }: ServerContext, port: number): Promise<Labelled> => {
  const { python } = await pythonServers(log);
  const label = 'MongoDB (SecantusDB 0.7.0b3)';
  const data = join(folder, 'secantus');
  const logFile = join(folder, 'mongodb.log');
  await mkdir(data, { recursive: true });
  const process = serverProcess(
    {
      label,
      command: python,
      args: [
        '-m',
        'secantus',
        '--host',
        '127.0.0.1',
        '--port',
        String(port),
        '--storage-path',
        data,
        '--sync-on-commit',
        '--cache-size',
        '256M',
        '--log-level',
        'WARNING',
      ],
      // A settings file it might find in the current folder must not change it.
      cwd: folder,
      logFile,
      pidFile: join(folder, 'mongodb.pid'),
      mark: `--storage-path ${data}`,
      isReady: () => answersPing(port),
      onCrash,
    },
    watchdog,
  );
  return { ...process, label, logFile };
};

const replicaSet = async ({ folder, watchdog, onCrash }: ServerContext, port: number, program: string): Promise<Labelled> => {
  const version = /v([\d.]+)/.exec(await runCommand(program, ['--version'], { purpose: `Asking ${program} for its version` }))?.[1] ?? '';
  const label = `MongoDB ${version}`;
  const data = join(folder, 'mongod');
  const logFile = join(folder, 'mongodb.log');
  await mkdir(data, { recursive: true });
  const process = serverProcess(
    {
      label,
      command: program,
      args: [
        '--bind_ip',
        '127.0.0.1',
        '--port',
        String(port),
        '--dbpath',
        data,
        '--replSet',
        'tributary',
        '--wiredTigerCacheSizeGB',
        '0.25',
        '--setParameter',
        'diagnosticDataCollectionEnabled=false',
      ],
      logFile,
      pidFile: join(folder, 'mongodb.pid'),
      mark: `--dbpath ${data}`,
      isReady: () => answersPing(port),
      onCrash,
    },
    watchdog,
  );
  return { ...process, label, logFile };
};

/** Makes the server a replica set of one, under the port it has now, and waits until it takes writes. */
const initiate = (port: number): Promise<void> =>
  withAdmin(port, async (command) => {
    const host = `127.0.0.1:${port}`;
    const config = await command({ replSetGetConfig: 1 }).catch((error: unknown) => {
      if (error instanceof MongoServerError && error.codeName === 'NotYetInitialized') return undefined;
      throw error;
    });
    if (config === undefined) {
      await command({ replSetInitiate: { _id: 'tributary', members: [{ _id: 0, host }] } });
    } else {
      const current = config['config'] as { version: number; members: { host: string }[] };
      if (current.members[0]?.host !== host) {
        await command({ replSetReconfig: { ...current, version: current.version + 1, members: [{ ...current.members[0], host }] }, force: true });
      }
    }
    for (;;) {
      const hello = await command({ hello: 1 });
      if (hello['isWritablePrimary'] === true) return;
      await command({ hello: 1, topologyVersion: hello['topologyVersion'] as Document, maxAwaitTimeMS: 500 });
    }
  });

const answersPing = async (port: number): Promise<boolean> => {
  // The driver would wait on a closed port for as long as it is told to.
  if (!(await isListening(port))) return false;
  return withAdmin(port, async (command) => (await command({ ping: 1 }))['ok'] === 1).catch(() => false);
};

const withAdmin = async <T>(port: number, work: (command: (document: Document) => Promise<Document>) => Promise<T>): Promise<T> => {
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, { serverSelectionTimeoutMS: 5_000 });
  try {
    const admin = client.db('admin');
    return await work((document) => admin.command(document));
  } finally {
    await client.close();
  }
};
