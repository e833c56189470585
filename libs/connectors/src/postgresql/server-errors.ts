/** What the driver throws → an error that names the thing and what to do. Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
import { DatabaseError } from 'pg';
import type { ErrorCode } from '@tributary/errors/codes';
import { messageOf, TributaryError } from '@tributary/errors/error';

/** Who is asking: decides between SOURCE_FAILED and TARGET_FAILED. */
export type Side = 'source' | 'target';

export const sqlState = (error: unknown): string | undefined => (error instanceof DatabaseError ? error.code : undefined);

const byState: Readonly<Record<string, ErrorCode>> = {
  '28P01': 'CREDENTIALS_REJECTED',
  '28000': 'CREDENTIALS_REJECTED',
  '3D000': 'CONFIG_INVALID',
  '3F000': 'STREAM_NOT_FOUND',
  '42P01': 'STREAM_NOT_FOUND',
  '42501': 'PERMISSION_MISSING',
  '42703': 'SCHEMA_CONFLICT',
  '42804': 'SCHEMA_CONFLICT',
  '42P10': 'SCHEMA_CONFLICT',
  '428C9': 'SCHEMA_CONFLICT',
  '42809': 'SCHEMA_CONFLICT',
  '54011': 'SCHEMA_CONFLICT',
  '53300': 'HOST_UNREACHABLE',
  '57P03': 'HOST_UNREACHABLE',
};

const tlsCode = /^(ERR_TLS|ERR_SSL|EPROTO$|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER))/;

/** `place` names the server: `host:port/database`. */
export const explainError = (error: unknown, side: Side, place: string): TributaryError => {
  if (error instanceof TributaryError) return error;
  const failed: ErrorCode = side === 'source' ? 'SOURCE_FAILED' : 'TARGET_FAILED';
  if (error instanceof DatabaseError) {
    const code = byState[error.code ?? ''] ?? failed;
    const detail = error.detail === undefined || code === 'CREDENTIALS_REJECTED' ? '' : ` (${error.detail})`;
    return new TributaryError(code, `PostgreSQL at ${place}: ${error.message}${detail}.`, { cause: error, details: { sqlState: error.code } });
  }
  const message = messageOf(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (tlsCode.test(code) || /SSL connection/.test(message)) return new TributaryError('TLS_FAILED', `PostgreSQL at ${place}: ${message}.`, { cause: error });
  if (message === '' || /^(ECONN|ENOTFOUND|EAI_|EHOST|ENET|ETIMEDOUT|EPIPE|EADDR)/.test(code) || /timeout expired|Connection terminated/.test(message)) {
    return new TributaryError('HOST_UNREACHABLE', `PostgreSQL at ${place}: ${message || code || 'no connection'}.`, { cause: error });
  }
  return new TributaryError(failed, `PostgreSQL at ${place}: ${message}.`, { cause: error });
};

/**
 * Did the server refuse values rather than the statement? Class 22 is data exceptions, 23 is integrity constraints, P0001 is what a trigger raises,
 * 54000 is a value too large for an index row.
 */
export const isDataError = (error: unknown): error is DatabaseError => {
  const state = sqlState(error);
  return state !== undefined && (state.startsWith('22') || state.startsWith('23') || state === 'P0001' || state === '54000');
};

/** ON CONFLICT met one key twice: the server takes two keys for one that differ to us, such as those of a case-insensitive type. */
export const isKeyTwice = (error: unknown): boolean => sqlState(error) === '21000';

/** Rolled back through no fault of the statement: it may be repeated as it is. */
export const isConcurrencyError = (error: unknown): boolean => ['40001', '40P01'].includes(sqlState(error) ?? '');

/** Somebody else made the same thing at the same moment. */
export const isMadeMeanwhile = (error: unknown): boolean =>
  ['42P07', '42701', '42710', '23505', '42P06'].includes(sqlState(error) ?? '') || (sqlState(error) === 'XX000' && messageOf(error).includes('concurrently'));
