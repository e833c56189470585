import { z } from 'zod';

const path = z
  .string()
  .min(1)
  .max(4096)
  .regex(/\.(duckdb|db)$/, 'must end in .duckdb');

export const targetConfig = z.strictObject({
  path: path.meta({
    title: 'Database file',
    description: 'Relative to the folder the operator set aside for files; made when missing: `sales.duckdb`',
    order: 1,
  }),
  schema: z.string().min(1).max(255).default('main').meta({ title: 'Schema', description: 'Made when missing', order: 2 }),
  memory_limit_mb: z.number().int().min(64).max(1_048_576).default(1024).meta({
    title: 'Memory limit',
    description: 'Megabytes that DuckDB may use; the indexes of primary keys have to fit. What the first pipeline to open the file says counts',
    order: 3,
  }),
});

export const sourceConfig = z.strictObject({
  path: path.meta({ title: 'Database file', description: 'Relative to the folder the operator set aside for files: `sales.duckdb`', order: 1 }),
  schema: z.string().min(1).max(255).default('main').meta({ title: 'Schema', order: 2 }),
  table: z.string().min(1).nullish().meta({ title: 'Table', description: 'Table or view that is read when a data model names no other', order: 3 }),
  cursor_column: z.string().min(1).nullish().meta({
    title: 'Cursor column',
    description:
      'A column that never falls, such as a time of change: rows changed after the first read are found by it. Without one, only rows with a higher key than the last are found',
    order: 4,
  }),
  key_columns: z.array(z.string().min(1)).max(16).nullish().meta({
    title: 'Key columns',
    description: 'Columns that tell rows apart, never null. Needed for views; tables are read by their primary key, else the rowid',
    order: 5,
  }),
  poll_interval_seconds: z.coerce
    .number()
    .positive()
    .max(86_400)
    .default(5)
    .meta({ title: 'Poll interval', description: 'Seconds between looks for new rows; in between other programs can open the file', order: 6 }),
  memory_limit_mb: z.number().int().min(64).max(1_048_576).default(1024).meta({
    title: 'Memory limit',
    description: 'Megabytes that DuckDB may use; sorting more than that goes by way of the disk. What the first pipeline to open the file says counts',
    order: 7,
  }),
});

export type DuckdbSourceConfig = z.output<typeof sourceConfig>;
export type DuckdbTargetConfig = z.output<typeof targetConfig>;
