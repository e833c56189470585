/** Reads settings from the environment. Only a service's main.ts calls this. */
import { TributaryError } from '@tributary/errors/error';
import { z } from 'zod';

/**
 * Parses `source` by `schema`, whose keys are the variables' names. Empty strings count as absent.
 * @throws SETTING_INVALID naming every wrong variable; values are not shown, since they may be secrets.
 */
export const readEnv = <Schema extends z.ZodObject>(schema: Schema, source: NodeJS.ProcessEnv = process.env): z.output<Schema> => {
  const present = Object.fromEntries(Object.entries(source).filter(([name, value]) => name in schema.shape && value !== ''));
  const parsed = schema.safeParse(present);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new TributaryError('SETTING_INVALID', `Settings are wrong or missing: ${problems.join('; ')}.`);
};

/** Settings that every service has. */
export const commonSettings = {
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  PORT: z.coerce.number().int().min(0).max(65535),
};

export const mongoSettings = {
  MONGO_URI: z.string().regex(/^mongodb(\+srv)?:\/\//, 'must start with mongodb://'),
  MONGO_DATABASE: z.string().min(1).default('tributary'),
};

/** The platform's own Kafka cluster. */
export const kafkaSettings = {
  KAFKA_BROKERS: z.string().min(1),
  KAFKA_SECURITY_PROTOCOL: z.enum(['PLAINTEXT', 'SASL_PLAINTEXT', 'SASL_SSL', 'SSL']).default('PLAINTEXT'),
  KAFKA_SASL_MECHANISM: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'GSSAPI', 'OAUTHBEARER']).optional(),
  KAFKA_SASL_USERNAME: z.string().optional(),
  KAFKA_SASL_PASSWORD: z.string().optional(),
  KAFKA_CA_CERT: z.string().optional(),
};

export const redisSettings = { REDIS_URL: z.string().regex(/^rediss?:\/\//, 'must start with redis://') };

/** What this installation's topics, groups, queues and log streams begin with, so that several can share a Kafka and a Redis. */
export const namespaceSettings = {
  NAMESPACE: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'must be 1 to 40 of a-z, 0-9 and "-", and not begin with "-"')
    .default('tributary'),
};

/** Shared by the services: who signs user tokens, and how services know each other. */
export const trustSettings = {
  JWT_SECRET: z.string().min(32, 'must have at least 32 characters'),
  SERVICE_TOKEN: z.string().min(32, 'must have at least 32 characters'),
};
