import { z } from 'zod';

const connection = {
  host: z.string().min(1).meta({ title: 'Host', description: 'Name or address of the server', order: 1 }),
  port: z.coerce.number().int().min(1).max(65535).default(3306).meta({ title: 'Port', order: 2 }),
  database: z.string().min(1).meta({ title: 'Database', order: 3 }),
  user: z.string().min(1).meta({ title: 'User', order: 4 }),
  password: z.string().default('').meta({ title: 'Password', secret: true, order: 5 }),
  ssl_mode: z.enum(['disable', 'prefer', 'require', 'verify-full']).default('prefer').meta({
    title: 'TLS',
    description:
      '`prefer` falls back to plain text; `require` encrypts, and checks the certificate only against a CA certificate given here; `verify-full` also checks the host name',
    order: 6,
  }),
  ca_cert: z.string().nullish().meta({ title: 'CA certificate', description: 'PEM; default: the authorities of the system', order: 7 }),
  connection_timeout: z.coerce.number().positive().max(300).default(10).meta({ title: 'Connection timeout', description: 'Seconds', order: 8 }),
};

export const targetConfig = z.strictObject(connection);

export const sourceConfig = z.strictObject({
  ...connection,
  table: z.string().min(1).nullish().meta({ title: 'Table', description: 'Read when a data model names no other', order: 9 }),
  cursor_column: z.string().min(1).nullish().meta({
    title: 'Cursor column',
    description:
      'A column that never falls, such as a time of change: rows changed after the first read are found by it. Without one, only rows with a higher key than the last are found',
    order: 10,
  }),
  poll_interval_seconds: z.coerce
    .number()
    .positive()
    .max(86_400)
    .default(5)
    .meta({ title: 'Poll interval', description: 'Seconds between looks for new rows', order: 11 }),
});

export type ConnectionConfig = z.output<typeof targetConfig>;
export type SourceConfig = z.output<typeof sourceConfig>;
