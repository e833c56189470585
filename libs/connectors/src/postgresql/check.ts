/** The steps of a connection test, for both roles. */
import { connect } from 'node:net';
import { runChecks } from '@tributary/connector-sdk/check';
import type { CallContext, CheckStep } from '@tributary/connector-sdk/source';
import { messageOf, TributaryError } from '@tributary/errors/error';
import type { ConnectionConfig } from './config.ts';
import { openSession, placeOf, type SeenOnTheWay, type Session } from './connect.ts';
import { quoteName } from './identifiers.ts';
import { explainError, type Side } from './server-errors.ts';

/** Steps `connect`, `tls`, `sign in`, `database`, `permissions` and those of `more`, which get the session of the first ones. */
export const testConnection = async (
  config: ConnectionConfig,
  context: CallContext,
  side: Side,
  more: readonly { readonly name: string; readonly run: (session: Session) => Promise<string> }[] = [],
): Promise<CheckStep[]> => {
  const seen: SeenOnTheWay = { tls: 'none', signedIn: false };
  let opening: Promise<Session> | undefined;
  const open = (): Promise<Session> => (opening ??= openSession(config, { side, tag: 'tributary test', signal: context.signal, seen }));
  /** Opening a session is one call: a step that it got past tells so, and the first that it did not get past tells the failure. */
  const gettingPast = async (message: () => string | null): Promise<string> => {
    const failure = await open().then(
      () => null,
      (error: unknown) => explainError(error, side, placeOf(config)),
    );
    const said = message();
    if (said === null) throw failure ?? new TributaryError('INTERNAL', 'A session was opened without being signed in.');
    return said;
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
          return `${config.host}:${config.port} accepts connections.`;
        },
      },
      {
        name: 'tls',
        run: () =>
          gettingPast(() => {
            if (config.ssl_mode === 'disable') return 'Not used, as configured: ssl_mode is `disable`.';
            if (seen.tls === 'established') return 'Encrypted.';
            return seen.tls === 'refused' && config.ssl_mode === 'prefer' ? 'Not encrypted: the server offers no TLS, and `prefer` goes on without.' : null;
          }),
      },
      { name: 'sign in', run: () => gettingPast(() => (seen.signedIn ? `Signed in as ${config.user}.` : null)) },
      asking('database', async (session) => {
        const [facts] = await session.query<{ version: string }>(`select current_setting('server_version') as version`);
        return `Database ${config.database} on PostgreSQL ${facts?.version}.`;
      }),
      asking('permissions', (session) => permissions(session, config, side)),
      ...more.map(({ name, run }) => asking(name, run)),
    ]);
  } finally {
    await opening?.then((session) => session.close()).catch(() => {});
  }
};

const permissions = async (session: Session, config: ConnectionConfig, side: Side): Promise<string> => {
  const { schema: name, user } = config;
  const [schema] = await session.query<{ usage: string; create: string }>(
    `select has_schema_privilege(oid, 'usage') as usage, has_schema_privilege(oid, 'create') as create from pg_namespace where nspname = $1`,
    [name],
  );
  if (schema === undefined)
    throw new TributaryError('STREAM_NOT_FOUND', `There is no schema "${name}" in ${session.place}. Run: CREATE SCHEMA ${quoteName(name)}`);
  if (schema.usage !== 't')
    throw new TributaryError(
      'PERMISSION_MISSING',
      `User ${user} may not use schema "${name}". Run: GRANT USAGE ON SCHEMA ${quoteName(name)} TO ${quoteName(user)}`,
    );
  if (side === 'source') return `May read schema "${name}".`;
  if (schema.create !== 't')
    throw new TributaryError(
      'PERMISSION_MISSING',
      `User ${user} may not create tables in schema "${name}". Run: GRANT CREATE ON SCHEMA ${quoteName(name)} TO ${quoteName(user)}`,
    );
  const [temporary] = await session.query<{ allowed: string }>(`select has_database_privilege(current_database(), 'temporary') as allowed`);
  if (temporary?.allowed !== 't')
    throw new TributaryError(
      'PERMISSION_MISSING',
      `User ${user} may not create temporary tables. Run: GRANT TEMPORARY ON DATABASE ${quoteName(config.database)} TO ${quoteName(user)}`,
    );
  return `May create tables in schema "${name}".`;
};

/** Opens a connection and closes it: tells an unreachable host from a server that says no. */
const reach = (config: ConnectionConfig, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: config.host, port: config.port, timeout: config.connection_timeout * 1_000, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(new Error(`no answer within ${config.connection_timeout} s (timeout expired)`)));
    socket.once('error', (error) => reject(messageOf(error) === '' && 'code' in error ? new Error(String(error.code), { cause: error }) : error));
  });
