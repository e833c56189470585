import { z } from 'zod';

const name = z.string().min(1).max(255);
const nullRatio = z.number().min(0).max(1).default(0);
const common = { name, null_ratio: nullRatio };
const integer = z.union([z.number().int(), z.string().regex(/^-?\d{1,18}$/, 'must be a whole number')]);

const column = z.discriminatedUnion('kind', [
  z.strictObject({ ...common, kind: z.literal('sequence'), start: integer.default(0), step: z.number().int().default(1) }),
  z.strictObject({ ...common, kind: z.literal('uuid') }),
  z.strictObject({ ...common, kind: z.literal('int'), min: z.number().int().default(0), max: z.number().int().default(1_000_000) }),
  z.strictObject({ ...common, kind: z.literal('float'), min: z.number().default(0), max: z.number().default(1) }),
  z.strictObject({
    ...common,
    kind: z.literal('decimal'),
    min: z.number().int().default(0),
    max: z.number().int().default(1_000),
    scale: z.number().int().min(0).max(30).default(2),
  }),
  z.strictObject({ ...common, kind: z.literal('bool'), true_ratio: z.number().min(0).max(1).default(0.5) }),
  z.strictObject({
    ...common,
    kind: z.literal('text'),
    min_length: z.number().int().min(0).max(1_000_000).default(8),
    max_length: z.number().int().min(0).max(1_000_000).default(32),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('timestamp'),
    start: z.string().default('2024-01-01T00:00:00Z'),
    step_microseconds: z.number().int().default(1_000_000),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('choice'),
    values: z
      .array(z.union([z.string(), z.number(), z.boolean()]))
      .min(1)
      .max(1_000),
  }),
]);

export const sourceConfig = z.strictObject({
  stream: name.default('generated').meta({ title: 'Stream', description: 'Name of the one stream there is', order: 1 }),
  rows: z.coerce
    .number()
    .int()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER)
    .nullable()
    .default(null)
    .meta({ title: 'Rows', description: 'How many rows there are; empty: endless, for pipelines that go on for ever', order: 2 }),
  rows_per_second: z.coerce
    .number()
    .positive()
    .max(1_000_000_000)
    .nullable()
    .default(null)
    .meta({ title: 'Rows a second', description: 'By all slices together; empty: as fast as they are taken', order: 3 }),
  row_bytes: z.coerce
    .number()
    .int()
    .min(1)
    .max(10_000_000)
    .nullable()
    .default(null)
    .meta({ title: 'Bytes a row', description: 'About so many: a text column `payload` fills up what the other columns leave', order: 4 }),
  columns: z
    .array(column)
    .min(1)
    .max(200)
    .default([
      { name: 'id', kind: 'sequence', start: 0, step: 1, null_ratio: 0 },
      { name: 'key', kind: 'uuid', null_ratio: 0 },
      { name: 'name', kind: 'text', min_length: 8, max_length: 32, null_ratio: 0.05 },
      { name: 'amount', kind: 'decimal', min: 0, max: 1_000, scale: 2, null_ratio: 0 },
      { name: 'status', kind: 'choice', values: ['new', 'paid', 'sent', 'returned'], null_ratio: 0 },
      { name: 'created_at', kind: 'timestamp', start: '2024-01-01T00:00:00Z', step_microseconds: 1_000_000, null_ratio: 0 },
    ])
    .meta({
      title: 'Columns',
      description: 'Each with `name`, `kind` (sequence, uuid, int, float, decimal, bool, text, timestamp, choice) and what the kind takes',
      order: 5,
    }),
  seed: z.coerce.number().int().min(0).max(4_294_967_295).default(1).meta({ title: 'Seed', description: 'The same seed gives the same rows', order: 6 }),
});

export type DatagenConfig = z.output<typeof sourceConfig>;
export type GeneratedColumn = DatagenConfig['columns'][number];
