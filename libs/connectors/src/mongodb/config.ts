import { z } from 'zod';

const optionalText = (meta: { title: string; description?: string; secret?: boolean; order: number }) => z.string().nullish().meta(meta);

const connection = {
  connection_string: optionalText({
    title: 'Connection string',
    description: '`mongodb://…` or `mongodb+srv://…`, with everything in it but the database; used instead of host, port, user and TLS',
    secret: true,
    order: 1,
  }),
  host: optionalText({ title: 'Host', description: 'Name or address of the server; a member of a replica set leads to the others', order: 2 }),
  port: z.coerce.number().int().min(1).max(65535).default(27017).meta({ title: 'Port', order: 3 }),
  database: z.string().min(1).max(63).meta({ title: 'Database', order: 4 }),
  user: optionalText({ title: 'User', description: 'Empty where the server asks for none', order: 5 }),
  password: z.string().default('').meta({ title: 'Password', secret: true, order: 6 }),
  auth_source: z.string().min(1).default('admin').meta({ title: 'Authentication database', description: 'Where the user was created', order: 7 }),
  tls: z.enum(['disable', 'require', 'verify-full']).default('disable').meta({
    title: 'TLS',
    description: '`require` encrypts, and checks the certificate only against a CA certificate given here; `verify-full` also checks the host name',
    order: 8,
  }),
  ca_cert: optionalText({ title: 'CA certificate', description: 'PEM; default: the authorities of the system', order: 9 }),
  connection_timeout: z.coerce.number().positive().max(300).default(10).meta({ title: 'Connection timeout', description: 'Seconds', order: 10 }),
};

export const sourceConfig = z.strictObject({
  ...connection,
  collection: optionalText({ title: 'Collection', description: 'Read when a data model names no other', order: 11 }),
  mode: z.enum(['snapshot_and_changes', 'snapshot']).default('snapshot_and_changes').meta({
    title: 'Mode',
    description:
      '`snapshot_and_changes` reads every document, then follows the change stream, deletes included (needs a replica set); `snapshot` reads every document once',
    order: 12,
  }),
});

export const targetConfig = z.strictObject({
  ...connection,
  date_times: z.enum(['exact', 'milliseconds', 'text']).default('exact').meta({
    title: 'Times',
    description:
      'How UTC_DATETIME columns are stored. MongoDB dates hold milliseconds: `exact` makes a date of a time that has no finer fraction and a text of any other; `milliseconds` always makes a date and cuts finer fractions; `text` always makes a text',
    order: 11,
  }),
});

export type SourceConfig = z.output<typeof sourceConfig>;
export type TargetConfig = z.output<typeof targetConfig>;
/** What both roles need to reach a server. */
export type ConnectionConfig = Pick<TargetConfig, keyof typeof connection>;
