/** Tries a configuration that is not saved yet, within a time limit. */
import { TributaryError } from '@tributary/errors/error';
import type { ConfigSchema } from '@tributary/connector-sdk/manifest';
import type { CallContext } from '@tributary/connector-sdk/source';
import type { Logger } from '@tributary/runtime/logger';
import { z } from 'zod';
import { connectorType, splitConfig, type ConnectorType } from './config.ts';

const limitMs = 15_000;

/**
 * `kafka-source` → the type and the parsed config. `unfinished`: fields may still be missing, such as the topic while topics are listed.
 * @throws CONNECTOR_TYPE_NOT_FOUND, VALIDATION_FAILED
 */
export const trialConfig = async (
  pathType: string,
  given: Record<string, unknown>,
  completeness: 'whole' | 'unfinished' = 'whole',
): Promise<ConnectorType & { readonly config: Record<string, unknown> }> => {
  const type = await connectorType(pathType.replaceAll('-', '_')).catch(() => {
    throw new TributaryError('CONNECTOR_TYPE_NOT_FOUND', `There is no connector type ${pathType}.`);
  });
  // Rules over several fields are for whole configurations.
  const schema = completeness === 'whole' ? type.schema : z.object(type.schema.shape).partial();
  splitConfig(schema, given, 'config');
  return { ...type, config: completeness === 'whole' ? schema.parse(given) : valuesOf(type.schema, given) };
};

/** The values there are, with defaults for fields that have one. */
const valuesOf = (schema: ConfigSchema, given: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(schema.shape).flatMap(([name, field]) => {
      const parsed = z.safeParse(field, given[name]);
      return parsed.success ? [[name, parsed.data]] : [];
    }),
  );

/** Runs `run` and ends it after 15 s. @throws TIMEOUT */
export const withinLimit = async <T>(log: Logger, run: (context: CallContext) => Promise<T>): Promise<T> => {
  const controller = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new TributaryError('TIMEOUT', `The server did not answer within ${limitMs / 1000} s.`);
    controller.abort(error);
    late.reject(error);
  }, limitMs);
  try {
    return await Promise.race([run({ log, signal: controller.signal }), late.promise]);
  } finally {
    clearTimeout(timer);
  }
};
