/** What the driver throws → an error that names the server and what to do. Prefixes: https://valkey.io/topics/protocol/#simple-errors and src/server.c. */
import type { ErrorCode } from '@tributary/errors/codes';
import { messageOf, TributaryError } from '@tributary/errors/error';

/** Who is asking: decides between SOURCE_FAILED and TARGET_FAILED. */
export type Side = 'source' | 'target';

const byReply: readonly (readonly [RegExp, ErrorCode])[] = [
  [/^(WRONGPASS|NOAUTH)|^ERR (invalid password|AUTH|Client sent AUTH)/, 'CREDENTIALS_REJECTED'],
  [/^NOPERM/, 'PERMISSION_MISSING'],
  [/^WRONGTYPE/, 'SCHEMA_CONFLICT'],
  [/^ERR (DB index|invalid DB index|WAITAOF cannot)/, 'CONFIG_INVALID'],
  [/^(MOVED|ASK|CROSSSLOT|CLUSTERDOWN) |no-cluster|SELECT is not allowed in cluster mode/, 'UNSUPPORTED'],
  [/^ERR unknown (command|subcommand)/, 'UNSUPPORTED'],
  [/^(LOADING|MASTERDOWN|BUSY|TRYAGAIN|UNKILLABLE)|max number of clients/, 'HOST_UNREACHABLE'],
];

const tlsCode = /^(ERR_TLS|ERR_SSL|EPROTO$|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER))/;

export const isReply = (error: unknown): error is Error => error instanceof Error && error.name === 'ReplyError';

/** `place` names the server: `host:port/database`. */
export const explainError = (error: unknown, side: Side, place: string): TributaryError => {
  if (error instanceof TributaryError) return error;
  const failed: ErrorCode = side === 'source' ? 'SOURCE_FAILED' : 'TARGET_FAILED';
  const message = messageOf(error);
  const as = (code: ErrorCode, text = message): TributaryError => new TributaryError(code, `Redis at ${place}: ${text.replace(/\.$/, '')}.`, { cause: error });
  if (isReply(error)) {
    const code = byReply.find(([pattern]) => pattern.test(message))?.[1] ?? failed;
    return code === 'CREDENTIALS_REJECTED' ? as(code, 'it rejects the user name or the password') : as(code);
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (tlsCode.test(code)) return as('TLS_FAILED');
  if (/timed out/i.test(message)) return as('TIMEOUT', 'it did not answer in time');
  if (/^(ECONN|ENOTFOUND|EAI_|EHOST|ENET|ETIMEDOUT|EPIPE|EADDR)/.test(code) || /Connection is closed|connection (in|to)|writeable|ETIMEDOUT/i.test(message)) {
    return as('HOST_UNREACHABLE', message || code || 'no connection');
  }
  return as(failed);
};
