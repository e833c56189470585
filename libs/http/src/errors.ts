/** How an error is answered. */
import { asTributaryError, type TributaryError } from '@tributary/errors/error';

export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: { detail: unknown; error_code: string; help: string; request_id: string };
}

/** Errors of express' body parser carry a `type` and `status`. */
const isBodyError = (error: unknown): error is { type: string; status: number; message: string } =>
  typeof error === 'object' && error !== null && 'type' in error && 'status' in error && typeof error.type === 'string' && typeof error.status === 'number';

export const toAnswer = (error: unknown, requestId: string): ErrorAnswer => {
  if (isBodyError(error)) {
    const tooLarge = error.type === 'entity.too.large';
    return {
      status: tooLarge ? 413 : error.status === 400 ? 422 : error.status,
      headers: {},
      body: {
        detail: tooLarge ? 'The body is too large.' : [{ loc: ['body'], msg: error.message, type: 'value_error.jsondecode' }],
        error_code: tooLarge ? 'PAYLOAD_TOO_LARGE' : 'VALIDATION_FAILED',
        help: tooLarge ? 'Send a smaller body.' : 'Send valid JSON with Content-Type: application/json.',
        request_id: requestId,
      },
    };
  }
  const known: TributaryError = asTributaryError(error);
  const headers: Record<string, string> = {};
  if (known.status === 401) headers['WWW-Authenticate'] = 'Bearer';
  const { retryAfterSeconds } = known.details;
  if (known.status === 503 || known.status === 429) headers['Retry-After'] = String(typeof retryAfterSeconds === 'number' ? retryAfterSeconds : 5);
  return {
    status: known.status,
    headers,
    body: {
      // An internal error's message may hold anything: it is in the log under the request id, not in the answer.
      detail: known.code === 'INTERNAL' ? 'Internal error' : (known.details['fields'] ?? known.message),
      error_code: known.code,
      help: known.help,
      request_id: requestId,
    },
  };
};
