/** What the driver throws → an error that names the thing and what to do. Codes: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
import { MongoBulkWriteError, MongoError, MongoNetworkError, MongoServerError, MongoServerSelectionError } from 'mongodb';
import type { ErrorCode } from '@tributary/errors/codes';
import { messageOf, TributaryError } from '@tributary/errors/error';

/** Who is asking: decides between SOURCE_FAILED and TARGET_FAILED. */
export type Side = 'source' | 'target';

export interface Place {
  /** `host:port/database`, for messages. */
  readonly name: string;
  readonly side: Side;
  /** Is the connection to be encrypted? */
  readonly isTls: boolean;
}

/** The server's number of an error; the driver gives it as a BSON integer where it does not promote numbers. */
export const serverCode = (error: unknown): number | undefined =>
  error instanceof MongoServerError && error.code !== undefined ? Number(error.code) : undefined;

/** The change stream cannot go on from its token: the history is gone, or the token is not one of this collection. */
const lostTokens = new Set([136, 260, 280, 286, 50811]);
const noReplicaSet = new Set([20, 40573]);
const authentication = new Set([18, 8000]);

export const isPositionLost = (error: unknown): boolean => {
  const code = serverCode(error);
  if (code === undefined) return false;
  return lostTokens.has(code) || (code === 9 && /resume token/i.test(messageOf(error)));
};

/** May the same call succeed in a moment? The driver has tried once more already. */
export const isTransient = (error: unknown): boolean => {
  if (error instanceof MongoNetworkError || error instanceof MongoServerSelectionError) return true;
  // A cursor that the server forgot after a pause is opened again; the others are elections and shutdowns.
  if (serverCode(error) === 43) return true;
  return error instanceof MongoError && (error.hasErrorLabel('ResumableChangeStreamError') || error.hasErrorLabel('RetryableReadError'));
};

const tlsTrouble = /ECONNRESET|before secure TLS|SSL|TLS|certificate|self.signed|altnames/i;

/** All messages of an error and of what caused it: the driver hides the socket's own words. */
const wholeMessage = (error: unknown): string => {
  const parts: string[] = [];
  for (let at = error; at !== undefined && at !== null && parts.length < 5; at = at instanceof Error ? at.cause : undefined) {
    const part = messageOf(at).split('\n')[0] ?? '';
    if (part !== '' && !parts.some((known) => known.includes(part))) parts.push(part);
  }
  return parts.join(': ');
};

export const explainError = (error: unknown, { name, side, isTls }: Place): TributaryError => {
  if (error instanceof TributaryError) return error;
  const failed: ErrorCode = side === 'source' ? 'SOURCE_FAILED' : 'TARGET_FAILED';
  const at = `MongoDB at ${name}`;
  const code = serverCode(error);
  const make = (known: ErrorCode, message: string): TributaryError =>
    new TributaryError(known, message, { cause: error, ...(code === undefined ? {} : { details: { serverCode: code } }) });
  if (code !== undefined) {
    // The message of a bulk write quotes values, which belong into the error collection only.
    const message = error instanceof MongoBulkWriteError ? `error ${code} in a bulk write` : messageOf(error).replace(/\.$/, '');
    if (authentication.has(code)) return make('CREDENTIALS_REJECTED', `${at}: ${message}.`);
    if (code === 13) return make('PERMISSION_MISSING', `${at}: ${message}.`);
    if (code === 26) return make('STREAM_NOT_FOUND', `${at}: ${message}.`);
    if (noReplicaSet.has(code)) return make('UNSUPPORTED', needsReplicaSet(name));
    if (isPositionLost(error))
      return make(
        'POSITION_LOST',
        `${at}: the change stream cannot go on from the checkpoint (${message}). Start a backfill; a larger oplog (replSetResizeOplog) keeps changes for longer.`,
      );
    if (code === 10334)
      return make(failed, `${at}: a change and its document together exceed 16 MB, which no change stream can hand over (${message}). Start a backfill.`);
    if (code === 290 || code === 251)
      return make(
        failed,
        `${at}: a transaction was ended by the server (${message}). If it lasted longer than transactionLifetimeLimitSeconds (60 by default), make batches smaller or raise that limit.`,
      );
    return make(failed, `${at}: ${message}.`);
  }
  const message = wholeMessage(error);
  if (isTls && tlsTrouble.test(message)) return make('TLS_FAILED', `${at}: ${message}.`);
  if (error instanceof MongoNetworkError || error instanceof MongoServerSelectionError) return make('HOST_UNREACHABLE', `${at}: ${message}.`);
  return make(failed, `${at}: ${message}.`);
};

export const needsReplicaSet = (place: string): string =>
  `MongoDB at ${place} is a standalone server, which has neither transactions nor change streams. Make it a replica set of one: start mongod with --replSet and run rs.initiate().`;

/**
 * Refusals that a single document can cause: bad values and names, a changed _id, a validator, a unique index, sizes, indexes that cannot take it.
 * All others are about the server or the collection and must not empty a batch into the error collection.
 */
const rowCodes = new Set([2, 9, 14, 22, 28, 52, 53, 54, 55, 56, 57, 66, 121, 171, 10334, 11000, 16755, 16766, 17280, 17419]);

export interface RowError {
  /** Index in the list of operations. */
  readonly index: number;
  readonly code: number;
  readonly reason: string;
}

/** The operation that a bulk write stopped at, if its document is to blame. */
export const rowError = (error: unknown): RowError | null => {
  if (!(error instanceof MongoBulkWriteError)) return null;
  const [first] = Array.isArray(error.writeErrors) ? error.writeErrors : [error.writeErrors];
  const code = Number(first?.code);
  if (first === undefined || !rowCodes.has(code)) return null;
  const detail = code === 121 ? ' The validator of the collection says what it must look like.' : '';
  return { index: first.index, code, reason: `${(first.errmsg ?? 'The server refused the document').replace(/\.$/, '')}.${detail}`.toWellFormed() };
};
