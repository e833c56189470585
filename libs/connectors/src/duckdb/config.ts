import { z } from 'zod';

export const targetConfig = z.strictObject({
  path: z
    .string()
    .min(1)
    .max(4096)
    .regex(/\.(duckdb|db)$/, 'must end in .duckdb')
    .meta({ title: 'Database file', description: 'Relative to the folder the operator set aside for files; made when missing: `sales.duckdb`', order: 1 }),
  schema: z.string().min(1).max(255).default('main').meta({ title: 'Schema', description: 'Made when missing', order: 2 }),
  memory_limit_mb: z.number().int().min(64).max(1_048_576).default(1024).meta({
    title: 'Memory limit',
    description: 'Megabytes that DuckDB may use; the indexes of primary keys have to fit. What the first pipeline to open the file says counts',
    order: 3,
  }),
});

export type DuckdbTargetConfig = z.output<typeof targetConfig>;
