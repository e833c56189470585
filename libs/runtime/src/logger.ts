/** JSON logs as sentences with context. Every line of a request or run carries its ids and trace. */
import { pino, stdTimeFunctions, type Logger } from 'pino';
import { currentTrace } from './trace.ts';

export type { Logger };

/** I6: names under which a secret could sit in a logged object, at the top or one level down. */
const secretNames = [
  'password',
  'token',
  'authorization',
  'access_token',
  'refresh_token',
  'client_secret',
  'api_key',
  'sasl_password',
  'key',
  'cert',
  'config',
];
const redactedPaths = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** `destination` defaults to standard output. */
export const createLogger = (options: { service: string; level: string }, destination?: NodeJS.WritableStream): Logger =>
  pino(
    {
      level: options.level,
      base: { service: options.service },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: redactedPaths, censor: '«redacted»' },
      mixin: () => {
        const trace = currentTrace();
        return trace === null ? {} : { trace_id: trace.split('-')[1] };
      },
    },
    ...(destination === undefined ? [] : [destination]),
  );
