/** Configurations: checked against the connector's schema, their secrets kept apart and masked in every answer. */
import { TributaryError, isKind, messageOf } from '@tributary/errors/error';
import { secretFields, type ConfigSchema, type Manifest } from '@tributary/connector-sdk/manifest';
import { connectorTypeOf } from '@tributary/connectors/registry';
import { fieldErrors } from '@tributary/http/route';

export interface ConnectorType {
  readonly slug: string;
  readonly role: 'source' | 'target';
  readonly manifest: Manifest;
  readonly schema: ConfigSchema;
}

export const redacted = '<redacted>';
const masks = new Set<unknown>([redacted, '****', '«redacted»']);

/** `KAFKA_SOURCE` or `kafka_source`. @throws BAD_REQUEST naming the types there are. */
export const connectorType = async (name: string): Promise<ConnectorType> => {
  const found = await connectorTypeOf(name).catch((error: unknown) => {
    throw isKind(error, 'config') ? new TributaryError('BAD_REQUEST', messageOf(error)) : error;
  });
  const role = found.manifest[found.role];
  if (role === undefined) throw new TributaryError('BAD_REQUEST', `"${found.manifest.name}" cannot be a ${found.role}.`);
  return { ...found, schema: role.config };
};

export interface SplitConfig {
  readonly open: Record<string, unknown>;
  /** Secret field → value. */
  readonly secret: Record<string, unknown>;
}

/**
 * Checks a whole config, unknown fields refused. The values are kept as they were given: defaults are the connector's to apply when it opens.
 * @throws VALIDATION_FAILED with the fields under `loc: ["body", "<field>", …]`.
 */
export const splitConfig = (schema: ConfigSchema, config: Record<string, unknown>, field: string): SplitConfig => {
  const parsed = schema.strict().safeParse(config);
  if (!parsed.success) {
    const fields = fieldErrors('body', parsed.error).map((error) => ({ ...error, loc: ['body', field, ...error.loc.slice(1)] }));
    throw new TributaryError('VALIDATION_FAILED', `The ${field} is not valid.`, { details: { fields } });
  }
  const secrets = new Set(secretFields(schema));
  const entries = Object.entries(config).filter(([, value]) => value !== undefined && value !== null);
  return {
    open: Object.fromEntries(entries.filter(([name]) => !secrets.has(name))),
    secret: Object.fromEntries(entries.filter(([name, value]) => secrets.has(name) && value !== '')),
  };
};

/** `given` where secrets that are left out or masked take their stored values. Fields that are not secret are replaced as a whole. */
export const keepStoredSecrets = (schema: ConfigSchema, given: Record<string, unknown>, stored: Record<string, unknown>): Record<string, unknown> => {
  const kept = { ...given };
  for (const name of secretFields(schema)) {
    const value = kept[name];
    if (value !== undefined && value !== null && !masks.has(value)) continue;
    if (name in stored) kept[name] = stored[name];
    else delete kept[name];
  }
  return kept;
};

/** The config as it is answered. */
export const maskedConfig = (open: Record<string, unknown>, secretNames: readonly string[]): Record<string, unknown> => ({
  ...open,
  ...Object.fromEntries(secretNames.map((name) => [name, redacted])),
});
