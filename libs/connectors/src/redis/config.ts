import { z } from 'zod';

const optionalText = z
  .string()
  .nullish()
  .transform((text) => (text === null || text === '' ? undefined : text));

const connection = {
  url: optionalText.meta({
    title: 'URL',
    description: '`redis://user:password@host:port/database`, `rediss://` with TLS; instead of the fields below',
    secret: true,
    order: 1,
  }),
  host: optionalText.meta({ title: 'Host', description: 'Name or address of the server', order: 2 }),
  port: z.coerce.number().int().min(1).max(65535).default(6379).meta({ title: 'Port', order: 3 }),
  username: optionalText.meta({ title: 'User', description: 'Default: `default`', order: 4 }),
  password: optionalText.meta({ title: 'Password', secret: true, order: 5 }),
  db: z.coerce.number().int().min(0).default(0).meta({ title: 'Database', description: 'Its number', order: 6 }),
  tls: z.boolean().default(false).meta({ title: 'TLS', description: 'Encrypts, and checks the certificate and the name in it', order: 7 }),
  ca_cert: optionalText.meta({ title: 'CA certificate', description: 'PEM; default: the authorities of the system', order: 8 }),
  connection_timeout: z.coerce.number().positive().max(300).default(10).meta({ title: 'Connection timeout', description: 'Seconds', order: 9 }),
};

export const sourceConfig = z.strictObject({
  ...connection,
  stream: optionalText.meta({
    title: 'Stream',
    description: 'Key of a stream, or a pattern such as `orders:*` for several; read when a data model names no other',
    order: 10,
  }),
  json_field: optionalText.meta({
    title: 'JSON field',
    description: 'The field whose JSON object is the row. Without it every field of an entry is a column, its value a text, or bytes where it is no UTF-8',
    order: 11,
  }),
  operation_field: z
    .string()
    .nullish()
    .transform((name) => name ?? '_op')
    .meta({
      title: 'Operation field',
      description: 'The field that says `upsert` or `delete`; entries without it are upserts. Empty: none, all entries are upserts. Default: `_op`',
      order: 12,
    }),
  include_metadata: z.boolean().default(false).meta({ title: 'Include metadata', description: 'Adds `_redis`: stream and id', order: 13 }),
});

export const targetConfig = z.strictObject({
  ...connection,
  write_as: z.enum(['stream', 'hashes']).default('stream').meta({
    title: 'Write as',
    description:
      '`stream`: each table is a stream, each row an entry that says in `_op` whether it is an upsert or a delete. `hashes`: each row is a hash under `<table>:<key>`',
    order: 10,
  }),
  json_field: optionalText.meta({
    title: 'JSON field',
    description: 'Writes each row as JSON into this field. Without it every column is a field, which is absent where the value is null',
    order: 11,
  }),
  key_prefix: z
    .string()
    .default('')
    .meta({ title: 'Key prefix', description: 'In front of all keys that are written, those of the checkpoints too', order: 12 }),
  wait_for_fsync: z.boolean().default(false).meta({
    title: 'Wait for the disk',
    description: 'A commit counts once the append-only file is on the server’s disk (WAITAOF): up to a second each with appendfsync `everysec`',
    order: 14,
  }),
  max_length: z.coerce.number().int().positive().nullish().meta({
    title: 'Longest stream',
    description: 'About so many of the newest entries are kept in each stream of rows; default: all',
    order: 13,
  }),
});

export type RedisSourceConfig = z.output<typeof sourceConfig>;
export type RedisTargetConfig = z.output<typeof targetConfig>;
export type ConnectionConfig = Pick<RedisSourceConfig, keyof typeof connection>;
