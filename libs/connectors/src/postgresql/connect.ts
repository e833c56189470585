/** Sessions with a server: TLS, time limits, text formats that keep every digit, and a tag that tells whose they are. */
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import { messageOf, TributaryError } from '@tributary/errors/error';
import type { ConnectionConfig } from './config.ts';
import { explainError, type Side } from './server-errors.ts';

export interface SessionOptions {
  readonly side: Side;
  /** Shown by the server as application_name; at most 63 bytes. */
  readonly tag: string;
  /** Filled while the session is opened, also when that fails. */
  readonly seen?: SeenOnTheWay;
  /** Aborted: the session is cut at once, and what waits for it fails with the signal's reason. */
  readonly signal: AbortSignal;
}

/** How far opening a session came. */
export interface SeenOnTheWay {
  /** `refused`: the server said that it offers no TLS. */
  tls: 'none' | 'established' | 'refused';
  signedIn: boolean;
}

export interface Session {
  readonly client: pg.Client;
  /** `host:port/database`, for messages. */
  readonly place: string;
  readonly isEncrypted: boolean;
  /** A TributaryError that explains what a query threw; the signal's reason when that was the cause. */
  readonly explain: (error: unknown) => Error;
  readonly query: <Row extends Record<string, unknown>>(text: string, values?: readonly unknown[]) => Promise<Row[]>;
  readonly close: () => Promise<void>;
}

/**
 * A zombie that stands still in a transaction must not block its heir for long, and a dead network must be noticed: seconds and milliseconds
 * of https://www.postgresql.org/docs/current/runtime-config-client.html and runtime-config-connection.html.
 */
const settings = [
  `set idle_in_transaction_session_timeout = '20s'`,
  `set tcp_keepalives_idle = 5`,
  `set tcp_keepalives_interval = 5`,
  `set tcp_keepalives_count = 3`,
  `set datestyle = 'ISO, YMD'`,
  `set intervalstyle = 'iso_8601'`,
  `set timezone = 'UTC'`,
  `set bytea_output = 'hex'`,
  `set extra_float_digits = 1`,
  `set client_min_messages = 'warning'`,
  // Compiling a statement of which the planner guesses too high would take longer than running it.
  `set jit = off`,
].join('; ');

/** All values as the server's text: Date drops microseconds, Number drops digits. */
const asText: pg.CustomTypesConfig = { getTypeParser: () => (value: string | Buffer) => value.toString() };

export const openSession = async (config: ConnectionConfig, options: SessionOptions): Promise<Session> => {
  const place = placeOf(config);
  options.signal.throwIfAborted();
  let client: pg.Client;
  try {
    client = await connectClient(config, options);
  } catch (error) {
    throw explainError(error, options.side, place);
  }
  // A lost connection also fails the query that waits; unheard, the event would end the process.
  client.on('error', () => {});
  const cut = (): void => {
    client.connection.stream.destroy();
  };
  options.signal.addEventListener('abort', cut, { once: true });
  const explain = (error: unknown): Error => {
    if (options.signal.aborted)
      return options.signal.reason instanceof Error ? options.signal.reason : new TributaryError('TIMEOUT', messageOf(options.signal.reason));
    return explainError(error, options.side, place);
  };
  const close = async (): Promise<void> => {
    options.signal.removeEventListener('abort', cut);
    await client.end().catch(() => {});
  };
  const query = async <Row extends Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]> =>
    (await client.query<Row>(text, values === undefined ? undefined : [...values])).rows;
  try {
    // The last statement is known since PostgreSQL 12, but refused where the system lacks it.
    await client.query(settings);
    await client.query(`set tcp_user_timeout = 20000`).catch(() => {});
  } catch (error) {
    await close();
    throw explain(error);
  }
  return { client, place, isEncrypted: 'encrypted' in client.connection.stream, explain, query, close };
};

export const placeOf = (config: ConnectionConfig): string => `${config.host}:${config.port}/${config.database}`;

const connectClient = async (config: ConnectionConfig, options: SessionOptions): Promise<pg.Client> => {
  const attempt = async (ssl: ConnectionOptions | false): Promise<pg.Client> => {
    const client = new pg.Client({
      host: config.host,
      port: config.port,
      database: config.database,
      user: config.user,
      // A function, so that an empty password is not replaced from the environment.
      password: () => config.password,
      ssl,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
      connectionTimeoutMillis: config.connection_timeout * 1_000,
      application_name: options.tag,
      types: asText,
    });
    if (options.seen !== undefined) watch(client, options.seen);
    const cut = (): void => {
      client.connection.stream.destroy();
    };
    options.signal.addEventListener('abort', cut, { once: true });
    try {
      await client.connect();
      return client;
    } catch (error) {
      client.on('error', () => {});
      client.connection.stream.destroy();
      options.signal.throwIfAborted();
      throw error;
    } finally {
      options.signal.removeEventListener('abort', cut);
    }
  };
  if (config.ssl_mode === 'disable') return attempt(false);
  try {
    return await attempt(tlsOptions(config));
  } catch (error) {
    if (!messageOf(error).includes('does not support SSL')) throw error;
    if (options.seen !== undefined) options.seen.tls = 'refused';
    if (config.ssl_mode === 'prefer') return attempt(false);
    throw error;
  }
};

const watch = (client: pg.Client, seen: SeenOnTheWay): void => {
  const { connection } = client;
  // The driver says so when the handshake begins.
  connection.once('sslconnect', () => {
    connection.stream.once('secureConnect', () => {
      seen.tls = 'established';
    });
  });
  connection.once('authenticationOk', () => {
    seen.signedIn = true;
  });
};

const tlsOptions = (config: ConnectionConfig): ConnectionOptions => {
  const ca = config.ca_cert ?? undefined;
  if (config.ssl_mode === 'verify-full') return { ca, rejectUnauthorized: true, ...(isIP(config.host) === 0 ? { servername: config.host } : {}) };
  // As libpq does it: `require` trusts any certificate unless there is an authority to check it against; the name is not checked.
  return ca === undefined ? { rejectUnauthorized: false } : { ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
};
