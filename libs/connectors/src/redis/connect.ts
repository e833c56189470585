/** Connections to one server. None reconnects by itself: whoever holds one knows then that a command's outcome is unknown. */
import { isIP } from 'node:net';
import { Redis } from 'ioredis';
import { messageOf, TributaryError } from '@tributary/errors/error';
import type { ConnectionConfig } from './config.ts';
import { explainError, type Side } from './server-errors.ts';

/** Entries-added counters of streams, and script flags that are looked at before a script begins, came with it. */
const oldestMajor = 7;
/** A command that takes longer is given up, its outcome unknown. */
const commandMs = 60_000;

export interface Place {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  readonly tls: boolean;
}

export interface Session {
  readonly redis: Redis;
  /** `host:port/database`, for messages. */
  readonly place: string;
  /** The server's own account of itself: the lines of INFO. */
  readonly info: ReadonlyMap<string, string>;
  /** A TributaryError that explains what a command threw; the signal's reason when that was the cause. */
  readonly explain: (error: unknown) => Error;
  readonly close: () => void;
}

/** @throws CONFIG_INVALID when neither URL nor host is given, or the URL is none. */
export const placeOf = (config: ConnectionConfig): Place => {
  const { url, host, port, username, password, db, tls } = config;
  if (url === undefined) {
    if (host === undefined) throw new TributaryError('CONFIG_INVALID', 'Neither "url" nor "host" says where Redis is. Give one of them.');
    return { host, port, username, password, db, tls };
  }
  const parsed = URL.parse(url);
  const number = /^\/?(\d*)$/.exec(parsed?.pathname ?? '');
  // The URL is not repeated: it may hold a password.
  if (parsed === null || parsed.hostname === '' || number === null || !['redis:', 'rediss:'].includes(parsed.protocol))
    throw new TributaryError('CONFIG_INVALID', 'The URL is not of the form redis://user:password@host:port/database.');
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? 6379 : Number(parsed.port),
    username: parsed.username === '' ? username : decodeURIComponent(parsed.username),
    password: parsed.password === '' ? password : decodeURIComponent(parsed.password),
    db: number[1] === undefined || number[1] === '' ? db : Number(number[1]),
    tls: tls || parsed.protocol === 'rediss:',
  };
};

export const placeText = ({ host, port, db }: Place): string => `${host}:${port}/${db}`;

export interface SessionOptions {
  readonly side: Side;
  /** Aborted: the connection is cut at once, and what waits for it fails with the signal's reason. */
  readonly signal: AbortSignal;
}

/** @throws UNSUPPORTED for a cluster or a server that is too old; else what `explainError` makes of the trouble. */
export const openSession = async (config: ConnectionConfig, { side, signal }: SessionOptions): Promise<Session> => {
  const where = placeOf(config);
  const place = placeText(where);
  signal.throwIfAborted();
  const redis = new Redis({
    host: where.host,
    port: where.port,
    ...(where.username === undefined ? {} : { username: where.username }),
    ...(where.password === undefined ? {} : { password: where.password }),
    ...(where.tls
      ? { tls: { ...(config.ca_cert === undefined ? {} : { ca: config.ca_cert }), ...(isIP(where.host) === 0 ? { servername: where.host } : {}) } }
      : {}),
    connectTimeout: config.connection_timeout * 1_000,
    commandTimeout: commandMs,
    connectionName: 'tributary',
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    keepAlive: 5_000,
  });
  // The event tells the cause; what waits for the connection only hears that it is closed.
  let trouble: unknown;
  let isConnected = false;
  redis.on('error', (error: unknown) => (trouble ??= error));
  const cut = (): void => redis.disconnect();
  signal.addEventListener('abort', cut, { once: true });
  const close = (): void => {
    signal.removeEventListener('abort', cut);
    redis.disconnect();
  };
  const explain = (error: unknown): Error => {
    if (signal.aborted) return signal.reason instanceof Error ? signal.reason : new TributaryError('TIMEOUT', messageOf(signal.reason));
    const explained = explainError(messageOf(error).includes('Connection is closed') ? (trouble ?? error) : error, side, place);
    // A server that waits for a command does not answer a TLS handshake.
    if (!where.tls || isConnected || explained.code !== 'HOST_UNREACHABLE') return explained;
    return new TributaryError('HOST_UNREACHABLE', `${explained.message} It was asked for TLS, which it may not speak on this port.`, { cause: error });
  };
  try {
    await redis.connect();
    isConnected = true;
    // The driver passes over a refusal of its own SELECT, and would go on in database 0.
    if (where.db !== 0) await redis.select(where.db);
    const info = parseInfo(await redis.info());
    if (info.get('cluster_enabled') === '1')
      throw new TributaryError(
        'UNSUPPORTED',
        `Redis at ${place} is a cluster: rows and checkpoints of one commit must be on one node. Give a server that is no cluster.`,
      );
    const version = info.get('valkey_version') ?? info.get('redis_version') ?? '';
    if (Number.parseInt(version, 10) < oldestMajor)
      throw new TributaryError('UNSUPPORTED', `Redis at ${place} is version ${version}. Version ${oldestMajor} or newer is needed.`);
    return { redis, place, info, explain, close };
  } catch (error) {
    const explained = explain(error);
    close();
    throw explained;
  }
};

const parseInfo = (text: string): Map<string, string> =>
  new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const at = line.indexOf(':');
      return at < 1 || line.startsWith('#') ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
    }),
  );

/** Runs `work` on a connection of its own. */
export const using = async <Result>(config: ConnectionConfig, options: SessionOptions, work: (session: Session) => Promise<Result>): Promise<Result> => {
  const session = await openSession(config, options);
  try {
    return await work(session);
  } catch (error) {
    throw session.explain(error);
  } finally {
    session.close();
  }
};
