/** The steps of a connection test, for both roles. */
import { connect } from 'node:net';
import { runChecks } from '@tributary/connector-sdk/check';
import type { CallContext, CheckStep } from '@tributary/connector-sdk/source';
import type { ErrorCode } from '@tributary/errors/codes';
import { messageOf, TributaryError } from '@tributary/errors/error';
import type { ConnectionConfig } from './config.ts';
import { hasTransactions, openConnection, type Connection } from './connect.ts';
import { needsReplicaSet, type Side } from './server-errors.ts';

/** Steps `connect`, `tls`, `sign in`, `database` and those of `more`, which get the connection of the first ones. */
export const testConnection = async (
  config: ConnectionConfig,
  context: CallContext,
  side: Side,
  more: readonly { readonly name: string; readonly run: (connection: Connection) => Promise<string> }[],
): Promise<CheckStep[]> => {
  let opening: Promise<Connection> | undefined;
  const open = (): Promise<Connection> => (opening ??= openConnection(config, side, context.signal));
  /** Opening a connection is one call that can fail in several ways: each step fails for its own codes, and the last for all others. */
  const unless = async (codes: readonly ErrorCode[], message: (connection: Connection | null) => string): Promise<string> => {
    try {
      return message(await open());
    } catch (error) {
      if (error instanceof TributaryError && !codes.includes(error.code)) return message(null);
      throw error;
    }
  };
  const asking = (name: string, run: (connection: Connection) => Promise<string>) => ({
    name,
    run: async () => {
      const connection = await open();
      try {
        return await run(connection);
      } catch (error) {
        throw connection.explain(error);
      }
    },
  });
  try {
    return await runChecks([
      {
        name: 'connect',
        run: async () => {
          if (config.host != null && (config.connection_string ?? '') === '') await reach(config.host, config, context.signal);
          return unless(['HOST_UNREACHABLE', 'CONFIG_INVALID'], (connection) => `${connection?.place.name ?? 'The server'} answers.`);
        },
      },
      {
        name: 'tls',
        run: () =>
          unless(['TLS_FAILED'], (connection) =>
            connection === null || connection.place.isTls ? 'Encrypted as configured.' : 'Not encrypted, as configured.',
          ),
      },
      { name: 'sign in', run: () => unless(['CREDENTIALS_REJECTED'], () => 'Signed in.') },
      asking('database', async ({ db, place }) => {
        const info = await db.admin().command({ buildInfo: 1 });
        if (!(await hasTransactions(db))) {
          if (side === 'target') throw new TributaryError('UNSUPPORTED', needsReplicaSet(place.name));
          return `Database ${config.database} on MongoDB ${String(info['version'])}, a standalone server: it can be read once, but has no change stream.`;
        }
        return `Database ${config.database} on MongoDB ${String(info['version'])}.`;
      }),
      ...more.map(({ name, run }) => asking(name, run)),
    ]);
  } finally {
    await opening?.then((connection) => connection.close()).catch(() => {});
  }
};

/** Opens a connection and closes it: tells an unreachable host from a server that says no. */
const reach = (host: string, config: ConnectionConfig, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const fail = (message: string, cause?: unknown): void =>
      reject(new TributaryError('HOST_UNREACHABLE', `MongoDB at ${host}:${config.port}/${config.database}: ${message}.`, { cause }));
    const socket = connect({ host, port: config.port, timeout: config.connection_timeout * 1_000, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => {
      socket.destroy();
      fail(`no answer within ${config.connection_timeout} s`);
    });
    socket.once('error', (error) => fail(messageOf(error) || ('code' in error ? String(error.code) : 'no connection'), error));
  });
