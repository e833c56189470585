/** The steps of a connection test, for both roles. */
import { connect } from 'node:net';
import { runChecks } from '@tributary/connector-sdk/check';
import type { CallContext, CheckStep } from '@tributary/connector-sdk/source';
import { messageOf } from '@tributary/errors/error';
import type { ConnectionConfig } from './config.ts';
import { openSession, placeOf, placeText, type Session } from './connect.ts';
import { explainError, type Side } from './server-errors.ts';

/** Steps `connect`, `sign in` and those of `more`, which get the session of the second. */
export const testConnection = async (
  config: ConnectionConfig,
  context: CallContext,
  side: Side,
  more: readonly { readonly name: string; readonly run: (session: Session) => Promise<string> }[],
): Promise<CheckStep[]> => {
  let opening: Promise<Session> | undefined;
  const open = (): Promise<Session> => (opening ??= openSession(config, { side, signal: context.signal }));
  try {
    return await runChecks([
      {
        name: 'connect',
        run: async () => {
          const { host, port } = placeOf(config);
          await reach(host, port, config.connection_timeout, context.signal).catch((error: unknown) => {
            throw explainError(error, side, placeText(placeOf(config)));
          });
          return `${host}:${port} answers.`;
        },
      },
      {
        name: 'sign in',
        run: async () => {
          const { info } = await open();
          const { username, db, tls } = placeOf(config);
          const valkey = info.get('valkey_version');
          const server = valkey === undefined ? `Redis ${info.get('redis_version') ?? ''}` : `Valkey ${valkey}`;
          return `Signed in to ${server} as ${username ?? 'default'}, database ${db}, ${tls ? 'encrypted' : 'not encrypted'}.`;
        },
      },
      ...more.map(({ name, run }) => ({
        name,
        run: async () => {
          const session = await open();
          try {
            return await run(session);
          } catch (error) {
            throw session.explain(error);
          }
        },
      })),
    ]);
  } finally {
    await opening?.then((session) => session.close()).catch(() => {});
  }
};

/** Opens a connection and closes it: tells an unreachable host from a server that says no. */
const reach = (host: string, port: number, seconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: seconds * 1_000, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(new Error(`connection timed out after ${seconds} s`)));
    socket.once('error', (error) => reject(messageOf(error) === '' && 'code' in error ? new Error(String(error.code), { cause: error }) : error));
  });
