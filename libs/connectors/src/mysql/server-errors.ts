/** What the driver throws → an error that names the thing and what to do. Numbers: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html */
import type { ErrorCode } from '@tributary/errors/codes';
import { messageOf, TributaryError } from '@tributary/errors/error';

/** Who is asking: decides between SOURCE_FAILED and TARGET_FAILED. */
export type Side = 'source' | 'target';

interface ServerError extends Error {
  readonly errno: number;
  readonly sqlState: string;
}

/** Errors of the system have an errno too, but no SQLSTATE. */
const isServerError = (error: unknown): error is ServerError =>
  error instanceof Error && 'errno' in error && typeof error.errno === 'number' && 'sqlState' in error && typeof error.sqlState === 'string';

export const errorNumber = (error: unknown): number | undefined => (isServerError(error) ? error.errno : undefined);

const byNumber: Readonly<Record<number, ErrorCode>> = {
  1045: 'CREDENTIALS_REJECTED', // wrong password
  1698: 'CREDENTIALS_REJECTED', // wrong plugin
  1130: 'CREDENTIALS_REJECTED', // host not allowed
  1862: 'CREDENTIALS_REJECTED', // password expired
  3118: 'CREDENTIALS_REJECTED', // account locked
  4151: 'CREDENTIALS_REJECTED', // account locked (MariaDB)
  1049: 'CONFIG_INVALID', // unknown database
  1146: 'STREAM_NOT_FOUND',
  1044: 'PERMISSION_MISSING',
  1142: 'PERMISSION_MISSING',
  1143: 'PERMISSION_MISSING',
  1227: 'PERMISSION_MISSING',
  1370: 'PERMISSION_MISSING',
  1290: 'PERMISSION_MISSING', // read-only server
  1054: 'SCHEMA_CONFLICT',
  1071: 'SCHEMA_CONFLICT', // key too long
  1117: 'SCHEMA_CONFLICT', // too many columns
  1118: 'SCHEMA_CONFLICT', // row too large
  1170: 'SCHEMA_CONFLICT', // text in a key
  1347: 'SCHEMA_CONFLICT', // a view, not a table
  1471: 'SCHEMA_CONFLICT', // a view that cannot be inserted into
  1040: 'HOST_UNREACHABLE',
  1053: 'HOST_UNREACHABLE',
  1129: 'HOST_UNREACHABLE',
  1203: 'HOST_UNREACHABLE',
};

const tlsCode = /^(ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO$|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|HANDSHAKE_(NO_SSL|SSL)|HOSTNAME_MISMATCH)/;

/** `place` names the server: `host:port/database`. */
export const explainError = (error: unknown, side: Side, place: string): TributaryError => {
  if (error instanceof TributaryError) return error;
  const failed: ErrorCode = side === 'source' ? 'SOURCE_FAILED' : 'TARGET_FAILED';
  if (isServerError(error)) {
    const code = byNumber[error.errno] ?? failed;
    return new TributaryError(code, `MySQL at ${place}: ${error.message}.`, { cause: error, details: { errno: error.errno } });
  }
  const message = messageOf(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (tlsCode.test(code) || /does not support secure connection|certificate|altnames/i.test(message)) {
    return new TributaryError('TLS_FAILED', `MySQL at ${place}: ${message}.`, { cause: error });
  }
  if (message === '' || /^(ECONN|ENOTFOUND|EAI_|EHOST|ENET|ETIMEDOUT|EPIPE|EADDR|PROTOCOL_CONNECTION_LOST)/.test(code) || /closed state/.test(message)) {
    return new TributaryError('HOST_UNREACHABLE', `MySQL at ${place}: ${message || code || 'no connection'}.`, { cause: error });
  }
  return new TributaryError(failed, `MySQL at ${place}: ${message}.`, { cause: error });
};

/** Numbers that stand for values rather than for the statement, though their class is none of the two below. */
const dataNumbers = new Set([1118, 1364, 1366, 1265, 1292, 1300, 1411, 1416, 1526, 1263, 1048, 3140, 3141, 3156, 3819, 4025, 4038, 4078]);

/** Did the server refuse values? Class 22 is data exceptions, 23 is integrity constraints, 45000 is what a trigger raises. */
export const isDataError = (error: unknown): error is Error =>
  error instanceof LostData || (isServerError(error) && (/^(22|23)/.test(error.sqlState) || error.sqlState === '45000' || dataNumbers.has(error.errno)));

/**
 * Rolled back through no fault of the statement: it may be repeated as it is. 1205 is a lock not given in time, 1213 a deadlock,
 * 1020 a row changed since it was read, 1637 too many transactions at once.
 */
export const isConcurrencyError = (error: unknown): boolean => [1205, 1213, 1020, 1637].includes(errorNumber(error) ?? 0);

/** Somebody else made the same thing at the same moment: table, column, key. */
export const isMadeMeanwhile = (error: unknown): boolean => [1050, 1060, 1061, 1068].includes(errorNumber(error) ?? 0);

/** The server took a statement with a warning that says that a value is not what was sent. */
export class LostData extends Error {}

/** `… at row 3` → 3. */
export const rowNumberOf = (error: unknown): number | undefined => {
  const found = /\bat row (\d+)$/.exec(messageOf(error));
  return found === null ? undefined : Number(found[1]);
};
