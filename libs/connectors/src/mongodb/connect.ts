/** Clients of a server: settings that keep every digit, time limits, and errors that name the server. */
import { MongoClient, type ClientSession, type Db, type MongoClientOptions, type TransactionOptions } from 'mongodb';
import { messageOf, TributaryError } from '@tributary/errors/error';
import type { ConnectionConfig } from './config.ts';
import { explainError, type Place, type Side } from './server-errors.ts';

export interface Connection {
  readonly client: MongoClient;
  readonly db: Db;
  readonly place: Place;
  /** A TributaryError that explains what a call threw; the signal's reason when that was the cause. */
  readonly explain: (error: unknown) => Error;
  readonly close: () => Promise<void>;
}

/** Reads one state of the data and writes to a majority: what was committed survives any election. */
export const transactionOptions: TransactionOptions = { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' }, readPreference: 'primary' };

/** Options that would read files of this machine or use its identity: a user of Tributary has no right to either. */
const foreignOptions = /[?&](tlsCAFile|tlsCertificateKeyFile|tlsCRLFile|sslCA|sslCert|sslKey|proxyHost)=|authMechanism=(MONGODB-AWS|MONGODB-OIDC|GSSAPI)/i;

const uriOf = (config: ConnectionConfig): string => {
  const text = config.connection_string ?? '';
  if (text === '') {
    if (config.host == null || config.host === '') throw new TributaryError('CONFIG_INVALID', 'host: give the host of the server, or a connection_string.');
    const host = config.host.includes(':') && !config.host.startsWith('[') ? `[${config.host}]` : config.host;
    return `mongodb://${host}:${config.port}/`;
  }
  if (foreignOptions.test(text))
    throw new TributaryError(
      'CONFIG_INVALID',
      'connection_string: options that name files, proxies or the identity of this machine are not allowed. Give the CA certificate in ca_cert, and user and password in the string.',
    );
  return text;
};

const optionsOf = (config: ConnectionConfig): MongoClientOptions => {
  const hasString = (config.connection_string ?? '') !== '';
  const ca = config.ca_cert == null || config.ca_cert === '' ? {} : { ca: config.ca_cert };
  if (hasString) return ca;
  const auth = config.user == null || config.user === '' ? {} : { auth: { username: config.user, password: config.password }, authSource: config.auth_source };
  if (config.tls === 'disable') return { ...auth, tls: false };
  if (config.tls === 'verify-full') return { ...auth, ...ca, tls: true };
  // As PostgreSQL does it: `require` trusts any certificate unless there is an authority to check it against; the name is not checked.
  return { ...auth, ...ca, tls: true, ...('ca' in ca ? { tlsAllowInvalidHostnames: true } : { tlsAllowInvalidCertificates: true }) };
};

const makeClient = (config: ConnectionConfig): MongoClient => {
  const uri = uriOf(config);
  const timeout = config.connection_timeout * 1_000;
  try {
    return new MongoClient(uri, {
      ...optionsOf(config),
      appName: 'tributary',
      serverSelectionTimeoutMS: timeout,
      connectTimeoutMS: timeout,
      // Longer than a transaction may last: a dead network is noticed, a slow server is waited for.
      socketTimeoutMS: 90_000,
      maxPoolSize: 5,
      readPreference: 'primary',
      writeConcern: { w: 'majority' },
      retryReads: true,
      retryWrites: true,
      // Integers of 64 bits as bigint, bytes with their subtype, patterns as they were written: nothing is rounded or guessed.
      promoteLongs: true,
      useBigInt64: true,
      promoteBuffers: false,
      bsonRegExp: true,
      ignoreUndefined: true,
    });
  } catch (error) {
    // The driver's message may quote the string, password included.
    const name = error instanceof Error ? error.name : 'error';
    throw new TributaryError(
      'CONFIG_INVALID',
      `connection_string: the MongoDB driver does not take it (${name}). It begins with mongodb:// or mongodb+srv://.`,
    );
  }
};

/** Is the connection of this client encrypted? */
const isTls = (client: MongoClient): boolean => client.options.tls;

export const openConnection = async (config: ConnectionConfig, side: Side, signal: AbortSignal): Promise<Connection> => {
  signal.throwIfAborted();
  const client = makeClient(config);
  const hosts = client.options.srvHost ?? client.options.hosts.map((host) => host.toString()).join(',');
  const place: Place = { name: `${hosts}/${config.database}`, side, isTls: isTls(client) };
  const cut = (): void => void client.close().catch(() => {});
  signal.addEventListener('abort', cut, { once: true });
  const explain = (error: unknown): Error => {
    if (signal.aborted) return signal.reason instanceof Error ? signal.reason : new TributaryError('TIMEOUT', messageOf(signal.reason));
    return explainError(error, place);
  };
  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', cut);
    await client.close().catch(() => {});
  };
  try {
    await client.connect();
    const db = client.db(config.database);
    await db.command({ ping: 1 });
    return { client, db, place, explain, close };
  } catch (error) {
    await close();
    throw explain(error);
  }
};

/** Does this server know transactions and change streams? Only members of replica sets and routers of sharded clusters do. */
export const hasTransactions = async (db: Db): Promise<boolean> => {
  const hello = await db.admin().command({ hello: 1 });
  return typeof hello['setName'] === 'string' || hello['msg'] === 'isdbgrid';
};

/** The id of a session, as killSessions takes it. */
export const sessionId = (session: ClientSession): unknown => session.id?.id;
