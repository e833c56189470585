import { z } from 'zod';
import { compressions, encodings, formats } from './file-format.ts';

const oneCharacter = z.string().refine((text) => text === '' || (text.length === 1 && text !== '\0' && text < '\x80'), 'must be one ASCII character');

export const sourceConfig = z
  .strictObject({
    path: z.string().min(1).max(4096).meta({
      title: 'Path',
      description:
        'File or glob, relative to the folder the operator set aside for files: `orders/*.jsonl`. Names of rotated files should not match it, they would be read again',
      order: 1,
    }),
    format: z.enum(formats).nullish().meta({ title: 'Format', description: 'By the name’s ending when not set', order: 2 }),
    compression: z.enum(compressions).nullish().meta({ title: 'Compression', description: 'By the ending .gz or .zst when not set', order: 3 }),
    encoding: z.enum(encodings).default('utf-8').meta({ title: 'Encoding', order: 4 }),
    delimiter: oneCharacter
      .refine((text) => text !== '', 'must not be empty')
      .default(',')
      .meta({ title: 'CSV delimiter', description: 'A tab for .tsv files', order: 5 }),
    header: z
      .boolean()
      .default(true)
      .meta({ title: 'CSV header', description: 'The first line names the columns; else they are column_1, column_2…', order: 6 }),
    quote: oneCharacter.default('"').meta({ title: 'CSV quote', description: 'Empty: quotes mean nothing', order: 7 }),
    poll_interval_seconds: z
      .number()
      .min(0.05)
      .max(86400)
      .default(2)
      .meta({ title: 'Poll interval', description: 'Seconds between looks for new files and lines', order: 8 }),
  })
  .refine((config) => config.delimiter !== config.quote && config.delimiter !== '\n' && config.quote !== '\n', {
    message: 'delimiter and quote must differ, and neither be a newline',
    path: ['delimiter'],
  });

export const targetConfig = z.strictObject({
  path: z
    .string()
    .min(1)
    .max(4096)
    .default('.')
    .meta({ title: 'Folder', description: 'Relative to the folder the operator set aside for files; every table gets a folder in it', order: 1 }),
  format: z.enum(formats).default('jsonl').meta({ title: 'Format', order: 2 }),
  compression: z.enum(['none', 'gzip']).default('none').meta({ title: 'Compression', order: 3 }),
});

export type FileSourceConfig = z.output<typeof sourceConfig>;
export type FileTargetConfig = z.output<typeof targetConfig>;
