/** Sessions with a server: TLS, time limits, strict mode, and text that keeps every digit. */
import { isIP, type Socket } from 'node:net';
import { createConnection, type Connection as RawConnection, type ResultSetHeader, type SslOptions, type TypeCast } from 'mysql2';
import type { Readable } from 'node:stream';
import { messageOf, TributaryError } from '@tributary/errors/error';
import type { ConnectionConfig } from './config.ts';
import { explainError, LostData, type Side } from './server-errors.ts';

export interface SessionOptions {
  readonly side: Side;
  /** Aborted: the session is cut at once, and what waits for it fails with the signal's reason. */
  readonly signal: AbortSignal;
}

export interface Session {
  readonly connection: RawConnection;
  /** `host:port/database`, for messages. */
  readonly place: string;
  readonly isEncrypted: boolean;
  readonly server: ServerFacts;
  /** A TributaryError that explains what a query threw; the signal's reason when that was the cause. */
  readonly explain: (error: unknown) => Error;
  /** Rows by column name, every value as the server's text. */
  readonly query: <Row extends Readonly<Record<string, string | null>>>(sql: string) => Promise<Row[]>;
  /**
   * A statement that changes something. `infile` is sent when it is a LOAD DATA LOCAL.
   * @throws LostData when the server warns that a value is not what was sent.
   */
  readonly run: (sql: string, infile?: () => Readable) => Promise<ResultSetHeader>;
  /** Rows as they come, by place, every value as the server's bytes; fails when the connection is lost. */
  readonly stream: (sql: string) => Readable;
  /** Cuts the connection at once, whatever it is doing. */
  readonly cut: () => void;
  readonly close: () => Promise<void>;
}

export interface ServerFacts {
  readonly version: string;
  readonly isMariadb: boolean;
  /** LOAD DATA LOCAL is allowed. */
  readonly localInfile: boolean;
  /** The longest statement and value, in bytes. */
  readonly maxPacket: number;
  /** A collation that tells any two texts apart, trailing spaces included. */
  readonly exactCollation: string;
  /** Names of tables are compared without regard to case. */
  readonly foldsTableNames: boolean;
}

/**
 * Strict, whatever the server's default is: https://dev.mysql.com/doc/refman/8.4/en/sql-mode.html. Zero as a key is a value like any other.
 * A lock is waited for 10 s at once; a client that stands still while it reads is kept for 10 minutes.
 */
const settings = [
  `sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'`,
  `time_zone = '+00:00'`,
  'innodb_lock_wait_timeout = 10',
  'lock_wait_timeout = 10',
  'net_write_timeout = 600',
  'max_error_count = 1024',
  'group_concat_max_len = 1048576',
].join(', session ');

/** I5: every value as the server's text: numbers would lose digits, dates microseconds. */
const asText: TypeCast = (field) => field.string('utf8');

export const openSession = async (config: ConnectionConfig, options: SessionOptions): Promise<Session> => {
  const place = placeOf(config);
  options.signal.throwIfAborted();
  let connection: RawConnection;
  try {
    connection = await connectClient(config, options);
  } catch (error) {
    options.signal.throwIfAborted();
    throw explainError(error, options.side, place);
  }
  // A lost connection also fails the query that waits; unheard, the event would end the process.
  connection.on('error', () => {});
  const waiting = new Set<(error: Error) => void>();
  const cutOff = (): void => {
    // The driver's own `destroy` only says goodbye, which a server that is busy sending does not hear.
    streamOf(connection).destroy();
    // Nor does it tell the query that waits.
    for (const fail of waiting) fail(new Error('The connection was cut.'));
  };
  options.signal.addEventListener('abort', cutOff, { once: true });
  const explain = (error: unknown): Error => {
    if (options.signal.aborted)
      return options.signal.reason instanceof Error ? options.signal.reason : new TributaryError('TIMEOUT', messageOf(options.signal.reason));
    return error instanceof LostData ? new TributaryError('TARGET_FAILED', `MySQL at ${place}: ${error.message}`) : explainError(error, options.side, place);
  };
  const close = async (): Promise<void> => {
    options.signal.removeEventListener('abort', cutOff);
    await new Promise<void>((resolve) => {
      const stuck = setTimeout(() => {
        cutOff();
        resolve();
      }, 2_000);
      connection.end(() => {
        clearTimeout(stuck);
        resolve();
      });
    });
  };
  const send = <Result>(sql: string, infile?: () => Readable): Promise<Result> =>
    new Promise((resolve, reject) => {
      waiting.add(reject);
      connection.query({ sql, typeCast: asText, ...(infile === undefined ? {} : { infileStreamFactory: infile }) }, (error, result) => {
        waiting.delete(reject);
        if (error === null) resolve(result as Result);
        else reject(error);
      });
    });
  const query: Session['query'] = (sql) => send(sql);
  const stream: Session['stream'] = (sql) => {
    const rows = connection.query({ sql, rowsAsArray: true, typeCast: false }).stream({ highWaterMark: 64 });
    // The driver tells a lost connection to callbacks only.
    const fail = (error: Error): void => {
      rows.destroy(error);
    };
    connection.once('error', fail);
    rows.once('close', () => connection.removeListener('error', fail));
    return rows;
  };
  const run: Session['run'] = async (sql, infile) => {
    const result = await send<ResultSetHeader>(sql, infile);
    if (result.warningStatus > 0) await refuseWarnings(query);
    return result;
  };
  try {
    await run(`set session ${settings}`);
    await run('set session transaction isolation level read committed');
    const server = await factsOf(query);
    return { connection, place, isEncrypted: 'encrypted' in streamOf(connection), server, explain, query, run, stream, cut: cutOff, close };
  } catch (error) {
    const explained = explain(error);
    await close();
    throw explained;
  }
};

export const placeOf = (config: ConnectionConfig): string => `${config.host}:${config.port}/${config.database}`;

/** Warnings of what is to come rather than of what was done: deprecated syntax, logging of statements, what was there already. */
const harmless = new Set(['1287', '1681', '1592', '3719', '3720', '3778', '1051', '1050']);

const refuseWarnings = async (query: Session['query']): Promise<void> => {
  const warnings = await query<{ Level: string; Code: string; Message: string }>('show warnings');
  const serious = warnings.find((warning) => !harmless.has(warning.Code));
  if (serious !== undefined) throw new LostData(serious.Message);
};

const factsOf = async (query: Session['query']): Promise<ServerFacts> => {
  const [facts] = await query<{ version: string; allows_infile: string; packet: string; folds: string }>(
    'select version() as version, @@local_infile as allows_infile, @@max_allowed_packet as packet, @@lower_case_table_names as folds',
  );
  const version = facts?.version ?? '';
  const isMariadb = /mariadb/i.test(version);
  const wanted = isMariadb ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
  const collations = await query(`show collation like '${wanted}'`);
  return {
    version,
    isMariadb,
    localInfile: facts?.allows_infile === '1',
    maxPacket: Number(facts?.packet ?? 4_194_304),
    // Before MySQL 8.0.17 there is none; then trailing spaces are cut off by comparing.
    exactCollation: collations.length > 0 ? wanted : 'utf8mb4_bin',
    foldsTableNames: facts?.folds !== '0',
  };
};

const connectClient = async (config: ConnectionConfig, options: SessionOptions): Promise<RawConnection> => {
  const attempt = (ssl: SslOptions | undefined): Promise<RawConnection> =>
    new Promise((resolve, reject) => {
      const connection = createConnection({
        host: config.host,
        port: config.port,
        database: config.database,
        user: config.user,
        password: config.password,
        ...(ssl === undefined ? {} : { ssl }),
        charset: 'utf8mb4_bin',
        connectTimeout: config.connection_timeout * 1_000,
        enableKeepAlive: true,
        keepAliveInitialDelay: 5_000,
        supportBigNumbers: true,
        bigNumberStrings: true,
        dateStrings: true,
      });
      const cut = (): void => {
        connection.destroy();
        reject(new Error('The connection was cut.'));
      };
      options.signal.addEventListener('abort', cut, { once: true });
      const done = (error: Error | null): void => {
        options.signal.removeEventListener('abort', cut);
        if (error === null) return resolve(connection);
        connection.on('error', () => {});
        connection.destroy();
        reject(error);
      };
      connection.once('error', done);
      connection.connect((error) => done(error));
    });
  if (config.ssl_mode === 'disable') return attempt(undefined);
  try {
    return await attempt(tlsOptions(config));
  } catch (error) {
    if (config.ssl_mode === 'prefer' && messageOf(error).includes('does not support secure connection')) return attempt(undefined);
    throw error;
  }
};

const tlsOptions = (config: ConnectionConfig): SslOptions => {
  const ca = config.ca_cert == null ? {} : { ca: config.ca_cert };
  if (config.ssl_mode === 'verify-full') {
    // The driver checks the certificate against a name only; afterwards would be too late, the password is out by then.
    if (isIP(config.host) !== 0)
      throw new TributaryError(
        'TLS_FAILED',
        `ssl_mode verify-full: ${config.host} is an address. Give the name that is in the certificate as host, or use require with ca_cert.`,
      );
    return { ...ca, rejectUnauthorized: true, verifyIdentity: true };
  }
  // As the other databases do it: `require` trusts any certificate unless there is an authority to check it against; the name is not checked.
  return { ...ca, rejectUnauthorized: config.ca_cert != null, verifyIdentity: false };
};

/** The driver's own socket, which its types leave out. */
const streamOf = (connection: RawConnection): Socket => (connection as unknown as { readonly stream: Socket }).stream;
