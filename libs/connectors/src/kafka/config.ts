import { z } from 'zod';
import { isReservedTopic, reservedMessage } from './reserved-topics.ts';

const optionalText = z
  .string()
  .nullish()
  .transform((text) => (text === null || text === '' ? undefined : text));

/** What both roles need to reach a cluster; the names are those of the pipelines API. */
const security = {
  security_protocol: z
    .enum(['PLAINTEXT', 'SASL_PLAINTEXT', 'SASL_SSL', 'SSL'])
    .nullish()
    .transform((one) => one ?? 'PLAINTEXT')
    .meta({ title: 'Security protocol', order: 10 }),
  sasl_mechanism: z
    .enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'GSSAPI', 'OAUTHBEARER'])
    .nullish()
    .transform((one) => one ?? undefined)
    .meta({ title: 'SASL mechanism', order: 11 }),
  sasl_username: optionalText.meta({ title: 'SASL user name', description: 'For OAUTHBEARER the client id', order: 12 }),
  sasl_password: optionalText.meta({ title: 'SASL password', description: 'For OAUTHBEARER the client secret', secret: true, order: 13 }),
  sasl_oauth_url: optionalText.meta({
    title: 'OAuth endpoint',
    description: 'For OAUTHBEARER: where client id and secret are exchanged for a token',
    order: 14,
  }),
  ca_cert: optionalText.meta({ title: 'CA certificate', description: 'PEM; default: the authorities of the system', order: 15 }),
  cert: optionalText.meta({ title: 'Client certificate', description: 'PEM, where the brokers ask for one', order: 16 }),
  key: optionalText.meta({ title: 'Client key', description: 'PEM', secret: true, order: 17 }),
};

export const sourceConfig = z.strictObject({
  topic: z
    .string()
    .min(1)
    .max(249)
    .refine((topic) => !isReservedTopic(topic), { error: ({ input }) => reservedMessage(String(input)) })
    .meta({ title: 'Topic', description: 'Read when a data model names no other', order: 1 }),
  bootstrap_servers: z.string().min(1).meta({ title: 'Bootstrap servers', description: '`host:port`, separated by commas', order: 2 }),
  consumer_group_id: optionalText.meta({
    title: 'Consumer group',
    description: 'Under which progress is shown to lag tools; made up when empty. Positions are kept in the target',
    order: 3,
  }),
  include_metadata: z
    .boolean()
    .nullish()
    .transform((one) => one ?? false)
    .meta({ title: 'Include metadata', description: 'Adds `_kafka`: topic, partition, offset, timestamp, key and headers', order: 4 }),
  ...security,
});

export const targetConfig = z.strictObject({
  bootstrap_server: z.string().min(1).meta({ title: 'Bootstrap servers', description: '`host:port`, separated by commas', order: 1 }),
  group_id: optionalText.meta({ title: 'Consumer group', description: 'Kept for the record: writing needs none', order: 2 }),
  ...security,
});

export type KafkaSourceConfig = z.output<typeof sourceConfig>;
export type KafkaTargetConfig = z.output<typeof targetConfig>;
