import { codes, type ErrorCode, type ErrorKind } from './codes.ts';

interface TributaryErrorOptions {
  /** The error this one explains. Never shown to a client. */
  readonly cause?: unknown;
  /** Facts for the log and the answer, free of secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Replaces the table's HTTP status where a reference document asks for another one. */
  readonly status?: number;
}

/** The only error class thrown on purpose. `message` names the thing that failed; what to do about it comes from the code. */
export class TributaryError extends Error {
  override readonly name = 'TributaryError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: TributaryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? codes[code].status;
    this.details = options.details ?? {};
  }

  get kind(): ErrorKind {
    return codes[this.code].kind;
  }

  get help(): string {
    return codes[this.code].help;
  }
}

/** Is `error` ours, and of this kind? */
export const isKind = (error: unknown, kind: ErrorKind): boolean => error instanceof TributaryError && error.kind === kind;

/** The message of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** `error` itself when it is ours, else an INTERNAL error that keeps it as cause. */
export const asTributaryError = (error: unknown): TributaryError =>
  error instanceof TributaryError ? error : new TributaryError('INTERNAL', messageOf(error), { cause: error });
