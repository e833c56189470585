/** What SQLite's result codes mean (https://www.sqlite.org/rescode.html). */
import { messageOf, TributaryError } from '@tributary/errors/error';

const busy = 5;
const locked = 6;
const readOnly = 8;
const corrupt = 11;
const tooBig = 18;
const constraint = 19;
const mismatch = 20;
const notADatabase = 26;
const cannotOpen = 14;
const permission = 3;

/** The primary result code; null for an error of another origin. */
const primaryCode = (error: unknown): number | null =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : null;

export const isBusy = (error: unknown): boolean => {
  const code = primaryCode(error);
  return code === busy || code === locked;
};

/** Can a single row be the reason? */
export const blamesRow = (error: unknown): boolean => {
  const code = primaryCode(error);
  return code === constraint || code === mismatch || code === tooBig;
};

/** `file` as the user wrote it. */
export const explainError = (error: unknown, file: string, doing: string, side: 'source' | 'target'): TributaryError => {
  if (error instanceof TributaryError) return error;
  const failed = side === 'source' ? 'SOURCE_FAILED' : 'TARGET_FAILED';
  switch (primaryCode(error)) {
    case busy:
    case locked:
      return new TributaryError(failed, `SQLite file "${file}" is locked: another process is writing it, or has it in exclusive mode.`, { cause: error });
    case notADatabase:
      return new TributaryError('CONFIG_INVALID', `File "${file}" exists, but is no SQLite database.`, { cause: error });
    case corrupt:
      return new TributaryError('CONFIG_INVALID', `SQLite file "${file}" is damaged; restore it or recover it with the sqlite3 program.`, { cause: error });
    case readOnly:
    case permission:
      return new TributaryError('PERMISSION_MISSING', `SQLite file "${file}" may not be written.`, { cause: error });
    case cannotOpen:
      return new TributaryError('CONFIG_INVALID', `"${file}" cannot be opened: it is a folder, or may not be read.`, { cause: error });
    default:
      return new TributaryError(failed, `${doing} SQLite file "${file}" failed: ${messageOf(error)}`, { cause: error });
  }
};
