/** The steps of a connection test, for both roles. */
import { connect } from 'node:net';
import { runChecks } from '@tributary/connector-sdk/check';
import type { CallContext, CheckStep } from '@tributary/connector-sdk/source';
import type { ErrorCode } from '@tributary/errors/codes';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { createCheckpointTable, tryCheckpoint } from './checkpoints.ts';
import type { ConnectionConfig } from './config.ts';
import { openSession, placeOf, type Session } from './connect.ts';
import { quoteName, quoteText } from './identifiers.ts';
import { errorNumber, explainError, type Side } from './server-errors.ts';
import { requireWriterList } from './writers.ts';

/** Steps `connect`, `tls`, `sign in`, `database`, `permissions` and those of `more`, which get the session of the first ones. */
export const testConnection = async (
  config: ConnectionConfig,
  context: CallContext,
  side: Side,
  more: readonly { readonly name: string; readonly run: (session: Session) => Promise<string> }[] = [],
): Promise<CheckStep[]> => {
  let opening: Promise<Session> | undefined;
  const open = (): Promise<Session> => (opening ??= openSession(config, { side, signal: context.signal }));
  /** Opening a session is one call that can fail in several ways: each step fails for its own codes, and the last for all others. */
  const failing = async (codes: readonly ErrorCode[], message: (session: Session | null) => string): Promise<string> => {
    try {
      return message(await open());
    } catch (error) {
      if (error instanceof TributaryError && !codes.includes(error.code)) return message(null);
      throw error;
    }
  };
  const asking = (name: string, run: (session: Session) => Promise<string>) => ({
    name,
    run: async () => {
      const session = await open();
      try {
        return await run(session);
      } catch (error) {
        throw session.explain(error);
      }
    },
  });
  try {
    return await runChecks([
      {
        name: 'connect',
        run: async () => {
          await reach(config, context.signal).catch((error: unknown) => {
            throw explainError(error, side, placeOf(config));
          });
          return `${config.host}:${config.port} answers.`;
        },
      },
      {
        name: 'tls',
        run: () =>
          failing(['TLS_FAILED'], (session) => {
            if (config.ssl_mode === 'disable') return 'Not encrypted, as configured.';
            return session === null || session.isEncrypted ? 'Encrypted.' : 'Not encrypted: the server offers no TLS, and `prefer` goes on without.';
          }),
      },
      { name: 'sign in', run: () => failing(['CREDENTIALS_REJECTED'], () => `Signed in as ${config.user}.`) },
      asking('database', (session) =>
        Promise.resolve(`Database ${config.database} on ${session.server.isMariadb ? 'MariaDB' : 'MySQL'} ${session.server.version}.`),
      ),
      asking('permissions', (session) => (side === 'source' ? readPermissions(session, config) : writePermissions(session, config))),
      ...more.map(({ name, run }) => asking(name, run)),
    ]);
  } finally {
    await opening?.then((session) => session.close()).catch(() => {});
  }
};

const readPermissions = async (session: Session, config: ConnectionConfig): Promise<string> => {
  await requireWriterList(session, config.user);
  return `May read database ${config.database} and see the transactions of others.`;
};

/** Tries what a target does first: the server's lists of grants do not tell what roles, proxies and read-only modes allow. */
const writePermissions = async (session: Session, config: ConnectionConfig): Promise<string> => {
  const trial = quoteName('_tributary_trial');
  const { user, database } = config;
  const refused = (what: string, grant: string) => (error: unknown) => {
    if (![1044, 1142].includes(errorNumber(error) ?? 0)) throw error;
    throw new TributaryError('PERMISSION_MISSING', `User ${user} may not ${what}. Run: GRANT ${grant} ON ${quoteName(database)}.* TO ${quoteText(user)}`);
  };
  await session.query(`create temporary table ${trial} (id int) engine = InnoDB`).catch(refused('create temporary tables', 'CREATE TEMPORARY TABLES'));
  await session.query(`drop temporary table ${trial}`);
  await createCheckpointTable(session, database).catch(refused('create tables', 'CREATE, ALTER'));
  await tryCheckpoint(session).catch(refused('read and write tables', 'SELECT, INSERT, UPDATE, DELETE'));
  return `May create and write tables in ${database}${session.server.localInfile ? '' : '; local_infile is off, so rows are sent by INSERT'}.`;
};

/** Opens a connection and closes it: tells an unreachable host from a server that says no. */
const reach = (config: ConnectionConfig, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: config.host, port: config.port, timeout: config.connection_timeout * 1_000, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(Object.assign(new Error(`no answer within ${config.connection_timeout} s`), { code: 'ETIMEDOUT' })));
    socket.once('error', (error) =>
      reject(messageOf(error) === '' && 'code' in error ? Object.assign(new Error(String(error.code)), { code: error.code }) : error),
    );
  });
