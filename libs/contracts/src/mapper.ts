/** The mapper's configuration, as the pipelines API takes it (`subscription_mapper_config`). */
import { z } from 'zod';

export const castNames = ['string', 'int', 'float', 'bool', 'date', 'datetime', 'time', 'json', 'decimal'] as const;

export const mapperColumn = z
  .strictObject({
    key: z.string().min(1).max(255).meta({ description: 'Column name in the target' }),
    path: z.string().nullish().meta({ description: 'Where the value is: `$.a.b`, `$.a[0]`, `$.a[*].b` or `a|b|0|*`' }),
    static: z.union([z.string(), z.number(), z.boolean()]).nullish().meta({ description: 'A fixed value, instead of `path`' }),
    cast: z.enum(castNames).nullish(),
    cast_format: z.string().nullish().meta({ description: 'strftime format of date, datetime and time' }),
    primary_key: z.boolean().nullish(),
    nullable: z.boolean().nullish().meta({ description: 'Default true' }),
    concatenate_fields: z.array(z.string()).nullish().meta({ description: 'Paths whose values are joined' }),
    hash_method: z.enum(['md5', 'sha256', 'sha512']).nullish(),
    encrypt_method: z.enum(['aes-256-gcm']).nullish(),
  })
  .refine((c) => c.path != null || c.static != null || (c.concatenate_fields?.length ?? 0) > 0, {
    message: 'one of path, static or concatenate_fields is required',
    path: ['path'],
  })
  .meta({ id: 'MapperColumn' });

export const mapperConfig = z.array(mapperColumn).min(1).max(2000);

const castsWithFormat = new Set<string | null | undefined>(['date', 'datetime', 'time']);

/** As somebody gives it: what would be passed over in silence is refused. */
export const givenMapperConfig = mapperConfig.superRefine((columns, context) => {
  for (const [index, column] of columns.entries()) {
    if (column.path != null && column.static != null) {
      context.addIssue({ code: 'custom', path: [index, 'static'], message: 'cannot be given together with path' });
    }
    if (column.cast_format && !castsWithFormat.has(column.cast)) {
      context.addIssue({ code: 'custom', path: [index, 'cast_format'], message: 'needs a cast to date, datetime or time' });
    }
  }
});

export type MapperColumn = z.infer<typeof mapperColumn>;
export type MapperConfig = z.infer<typeof mapperConfig>;
