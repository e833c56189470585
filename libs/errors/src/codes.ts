/**
 * The one table of error codes. A code is part of the API: it is never renamed, and its `help` is what a user reads.
 *
 * `kind` decides about retrying and nothing else does:
 * - `transient`: the same call may succeed later; callers retry with backoff.
 * - `config`: somebody has to change a setting first; retried only after a change.
 * - `input`: this request is wrong; never retried.
 * - `data`: single rows are wrong; they go to the error table, the run goes on.
 * - `fenced`: another worker owns the work now; stop at once, write nothing.
 * - `bug`: Tributary is wrong.
 */
export type ErrorKind = 'transient' | 'config' | 'input' | 'data' | 'fenced' | 'bug';

interface CodeEntry {
  readonly kind: ErrorKind;
  /** HTTP status when it reaches a client. */
  readonly status: number;
  /** What the reader can do about it. */
  readonly help: string;
}

const define = <T extends Record<string, CodeEntry>>(table: T): T => table;

export const codes = define({
  // Requests
  VALIDATION_FAILED: { kind: 'input', status: 422, help: 'Correct the fields named in `detail` and send the request again.' },
  BAD_REQUEST: { kind: 'input', status: 400, help: 'Read the message; the request asks for something that is not possible.' },
  UNAUTHENTICATED: { kind: 'input', status: 401, help: 'Log in at POST /api/auth/jwt/login and send `Authorization: Bearer <token>`.' },
  LOCKED_OUT: { kind: 'input', status: 429, help: 'Too many failed logins; wait until the time in Retry-After.' },
  FORBIDDEN: { kind: 'input', status: 403, help: 'Ask a team owner for the role this needs.' },
  SERVICE_TOKEN_REQUIRED: { kind: 'input', status: 403, help: "This is for the platform's own services; users have other endpoints, see /api/docs." },
  NOT_FOUND: { kind: 'input', status: 404, help: 'Check the id; it must belong to your active environment.' },
  ROUTE_NOT_FOUND: { kind: 'input', status: 404, help: 'See /api/docs for the paths there are.' },
  CONNECTOR_TYPE_NOT_FOUND: { kind: 'input', status: 404, help: 'See GET /api/connector-types for the types there are.' },
  METHOD_NOT_ALLOWED: { kind: 'input', status: 405, help: 'See /api/docs for the methods of this path.' },
  CONFLICT: { kind: 'input', status: 409, help: 'Somebody changed the record meanwhile; read it again and retry.' },
  PAYLOAD_TOO_LARGE: { kind: 'input', status: 413, help: 'Send a smaller body.' },
  MEDIA_TYPE_UNSUPPORTED: { kind: 'input', status: 415, help: 'Send the body as the content type that the message names.' },
  SERVICE_UNAVAILABLE: { kind: 'transient', status: 503, help: 'Try again after the seconds in Retry-After.' },
  TIMEOUT: { kind: 'transient', status: 504, help: 'The other side did not answer in time; try again or raise the time limit.' },
  INTERNAL: { kind: 'bug', status: 500, help: 'Report this with the request id.' },

  // Settings of the installation
  SETTING_INVALID: { kind: 'config', status: 500, help: 'Correct the environment variable and start again.' },
  SERVER_MISSING: { kind: 'config', status: 500, help: 'Install the program or give the server URL in the environment.' },

  // Reaching sources and targets
  HOST_UNREACHABLE: { kind: 'transient', status: 422, help: 'Check host and port, and that this machine may reach them.' },
  CREDENTIALS_REJECTED: { kind: 'config', status: 422, help: 'Check user name, password and mechanism.' },
  TLS_FAILED: { kind: 'config', status: 422, help: 'Check the CA certificate, or whether the server speaks TLS on this port.' },
  CONFIG_INVALID: { kind: 'config', status: 422, help: 'Correct the setting named in the message.' },
  UNSUPPORTED: { kind: 'config', status: 422, help: 'This connector cannot do that; see its capabilities.' },
  STREAM_NOT_FOUND: {
    kind: 'transient',
    status: 422,
    help: 'Create the table, topic or file, or correct its name; the pipeline goes on by itself once it is there.',
  },
  SCHEMA_CONFLICT: { kind: 'config', status: 422, help: 'Change the mapper or the column in the target so that their types agree.' },
  PERMISSION_MISSING: { kind: 'config', status: 422, help: 'Grant the permission named in the message.' },
  POSITION_LOST: { kind: 'config', status: 422, help: 'The source no longer holds the data after the checkpoint; start a backfill.' },
  SOURCE_FAILED: { kind: 'transient', status: 502, help: 'The source reported an error; see the message.' },
  TARGET_FAILED: { kind: 'transient', status: 502, help: 'The target reported an error; see the message.' },

  // Rows
  ROW_UNREADABLE: { kind: 'data', status: 422, help: 'The record is not in the declared format; it is in the error table.' },
  ROW_TOO_LARGE: { kind: 'data', status: 422, help: 'The record is larger than a batch may be; it is in the error table.' },
  CAST_FAILED: { kind: 'data', status: 422, help: 'Change the cast of this column, or correct the data.' },
  VALUE_MISSING: { kind: 'data', status: 422, help: 'Make the column nullable, or correct the data.' },
  ROW_REFUSED: { kind: 'data', status: 422, help: 'The target refused this row; see the message.' },

  // Execution
  FENCED: { kind: 'fenced', status: 409, help: 'Another worker took over; nothing is lost.' },
  NO_PROGRESS: { kind: 'transient', status: 504, help: 'The run moved nothing for too long and was ended; see its log.' },
  REJECTS_EXCEEDED: { kind: 'config', status: 422, help: 'Too many rows were rejected; look at the error table, correct the mapper and start again.' },
  EVENT_UNREADABLE: { kind: 'data', status: 500, help: 'The event is in the dead-letter topic with the reason.' },
});

export type ErrorCode = keyof typeof codes;
