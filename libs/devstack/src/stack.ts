// Brings up the servers that start and test need: a URL from the environment, a program on PATH, else a private copy.
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { TributaryError, messageOf } from '@tributary/errors/error';
import { kafkaPorts, kafkaServer, type KafkaServer } from './kafka.ts';
import type { KafkaSecure } from './kafka-security.ts';
import { mongodbServer } from './mongodb.ts';
import { choosePorts } from './ports.ts';
import { postgresServer } from './postgres.ts';
import { redisServer } from './redis.ts';
import { createReviver, type Reviver } from './reviver.ts';
import { stopLeftover } from './server-process.ts';
import type { Server, ServerContext, ServerName } from './server.ts';
import { startWatchdog } from './watchdog.ts';

export type { ServerName } from './server.ts';
export type { KafkaSecure } from './kafka-security.ts';

export interface StackOptions {
  /** Data, logs, ports and passwords; used again by the next start. */
  readonly dataDir: string;
  readonly log?: (line: string) => void;
  /** Adds listeners with SASL and TLS to Kafka. */
  readonly secureKafka?: boolean;
  /** Never tries the well-known ports, so that several stacks run side by side. */
  readonly ephemeralPorts?: boolean;
  /** Servers that are there already, as URLs. Default: KAFKA_URL, REDIS_URL, MONGO_URI and POSTGRES_URL of the environment. */
  readonly external?: Partial<Record<ServerName, string>>;
  /** Starts a server that ended by itself again, and says so. Off unless set: tests kill servers and look what happens without them. */
  readonly keepUp?: boolean;
  /** Called as each server answers, so that what needs only that one need not wait for the others. */
  readonly onUp?: (name: ServerName, url: string) => void;
  /** Gives up starting: stops what is up and throws its reason. */
  readonly signal?: AbortSignal;
}

export interface Stack {
  /** kafka://127.0.0.1:9092, redis://127.0.0.1:6379/0, mongodb://127.0.0.1:27017, postgresql://user:password@127.0.0.1:5432/tributary; '' for one that was not asked for. */
  readonly urls: Readonly<Record<ServerName, string>>;
  readonly kafkaSecure?: KafkaSecure;
  /** Stops all of them, in parallel. The data stays. */
  readonly stop: () => Promise<void>;
  readonly restart: (name: ServerName) => Promise<void>;
  /** SIGKILL. Bring it back with `start`. */
  readonly kill: (name: ServerName) => Promise<void>;
  readonly start: (name: ServerName) => Promise<void>;
}

const usualPorts: Record<ServerName, number> = { kafka: 9092, redis: 6379, mongodb: 27017, postgres: 5432 };

/** Servers that users' connections name; the others are the services' own. */
const usersConnectTo: ReadonlySet<ServerName> = new Set(['kafka', 'postgres']);

export const externalServers = (): Partial<Record<ServerName, string>> => {
  const { KAFKA_URL, REDIS_URL, MONGO_URI, POSTGRES_URL } = process.env;
  const all = { kafka: KAFKA_URL, redis: REDIS_URL, mongodb: MONGO_URI, postgres: POSTGRES_URL };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [ServerName, string] => (entry[1] ?? '') !== ''));
};

/** Starts `names` in parallel and waits until every one answers. Stops what it started when one fails. */
export const startServers = async (names: readonly ServerName[], options: StackOptions): Promise<Stack> => {
  const dataDir = resolve(options.dataDir);
  const log = options.log ?? (() => undefined);
  const external = options.external ?? externalServers();
  const own = names.filter((name) => external[name] === undefined);
  await mkdir(dataDir, { recursive: true });

  // Before ports are looked at: servers that a killed start left hold theirs.
  await Promise.all(names.map((name) => stopLeftover(join(dataDir, name, `${name}.pid`))));
  const requests = own.map((name) => ({ name, usual: options.ephemeralPorts ? undefined : usualPorts[name], stored: usersConnectTo.has(name) }));
  const more = own.includes('kafka') ? kafkaPorts(options.secureKafka ?? false).map((name) => ({ name })) : [];
  const ports = await choosePorts(dataDir, [...requests, ...more], log);

  const watchdog = startWatchdog();
  const servers = new Map<ServerName, Server>();
  const revivers: Reviver[] = [];
  const stopping = new AbortController();
  const givenUp = options.signal === undefined ? stopping.signal : AbortSignal.any([stopping.signal, options.signal]);
  let secure: KafkaSecure | undefined;

  const bring = async (name: ServerName): Promise<void> => {
    const began = performance.now();
    const folder = join(dataDir, name);
    await mkdir(folder, { recursive: true });
    let reviver: Reviver | undefined;
    const onCrash = (outcome: string): void => reviver?.crashed(outcome);
    const server = await makers[name]({ folder, port: portIn(ports), log, watchdog, onCrash }, options.secureKafka ?? false);
    if (options.keepUp) {
      reviver = createReviver({ label: server.label, logFile: server.logFile, log, start: server.start, signal: givenUp });
      revivers.push(reviver);
    }
    if (name === 'kafka') ({ secure } = server as KafkaServer);
    servers.set(name, server);
    await server.start(options.signal);
    reviver?.arm();
    log(`${server.label}: ready in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    options.onUp?.(name, server.url);
  };

  const stop = async (): Promise<void> => {
    stopping.abort();
    await Promise.all(revivers.map((reviver) => reviver.settled()));
    const outcomes = await Promise.allSettled([...servers.values()].map((server) => server.stop()));
    watchdog.close();
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };

  for (const name of names) {
    const url = external[name];
    if (url === undefined) continue;
    log(`${name}: using the server given in the environment`);
    options.onUp?.(name, url);
  }
  const outcomes = await Promise.allSettled(own.map(bring));
  const failures = outcomes.filter((outcome) => outcome.status === 'rejected').map((outcome) => outcome.reason as unknown);
  if (failures.length > 0) {
    await stop();
    if (failures.length === 1) throw failures[0];
    throw new TributaryError('SERVER_MISSING', failures.map(messageOf).join('\n'));
  }

  const owned = (name: ServerName): Server => {
    const server = servers.get(name);
    if (server === undefined) throw new TributaryError('UNSUPPORTED', `${name} was not started here, so it can be neither started nor stopped here.`);
    return server;
  };
  const urlOf = (name: ServerName): string => external[name] ?? servers.get(name)?.url ?? '';
  return {
    urls: { kafka: urlOf('kafka'), redis: urlOf('redis'), mongodb: urlOf('mongodb'), postgres: urlOf('postgres') },
    kafkaSecure: secure,
    stop,
    restart: async (name) => {
      await owned(name).stop();
      await owned(name).start();
    },
    kill: (name) => owned(name).kill(),
    start: (name) => owned(name).start(),
  };
};

const portIn =
  (ports: Readonly<Record<string, number>>) =>
  (name: string): number => {
    const port = ports[name];
    if (port === undefined) throw new TributaryError('INTERNAL', `No port was asked for ${name}.`);
    return port;
  };

const makers: Record<ServerName, (context: ServerContext, secureKafka: boolean) => Promise<Server | KafkaServer>> = {
  kafka: kafkaServer,
  redis: redisServer,
  mongodb: mongodbServer,
  postgres: postgresServer,
};
