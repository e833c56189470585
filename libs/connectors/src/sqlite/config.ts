import { z } from 'zod';

const path = z
  .string()
  .min(1)
  .max(4096)
  .regex(/\.(sqlite3?|db3?)$/, 'must end in .sqlite, .sqlite3, .db or .db3');

export const targetConfig = z.strictObject({
  path: path.meta({
    title: 'Database file',
    description: 'Relative to the folder the operator set aside for files; made when missing: `sales.sqlite`',
    order: 1,
  }),
  lock_timeout: z.coerce.number().min(0).max(300).default(20).meta({
    title: 'Lock timeout',
    description: 'Seconds to wait for another program that is writing the file',
    order: 2,
  }),
});

export const sourceConfig = z.strictObject({
  path: path.meta({ title: 'Database file', description: 'Relative to the folder the operator set aside for files: `sales.sqlite`', order: 1 }),
  table: z.string().min(1).nullish().meta({ title: 'Table', description: 'Table or view that is read when a data model names no other', order: 2 }),
  cursor_column: z.string().min(1).nullish().meta({
    title: 'Cursor column',
    description:
      'A column that never falls, such as a time of change: rows changed after the first read are found by it; give it an index. Without one, only rows with a higher key than the last are found',
    order: 3,
  }),
  key_columns: z.array(z.string().min(1)).max(16).nullish().meta({
    title: 'Key columns',
    description: 'Columns that tell rows apart, never null. Needed for views; tables are read by their primary key, else a unique key, else the rowid',
    order: 4,
  }),
  poll_interval_seconds: z.coerce
    .number()
    .positive()
    .max(86_400)
    .default(5)
    .meta({ title: 'Poll interval', description: 'Seconds between looks for new rows', order: 5 }),
});

export type SqliteTargetConfig = z.output<typeof targetConfig>;
export type SqliteSourceConfig = z.output<typeof sourceConfig>;
