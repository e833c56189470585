/** Which format, compression and encoding a file has: by the config, else by its name. */
import { TributaryError } from '@tributary/errors/error';
import { compressions, type Compression } from './chunks.ts';
import { encodings, type Encoding } from './text.ts';

export const formats = ['jsonl', 'csv'] as const;
export type FileFormat = (typeof formats)[number];

export { compressions, encodings };

/** The part of the source's config that says how to read a file. */
export interface FormatConfig {
  readonly format?: FileFormat | null | undefined;
  readonly compression?: Compression | null | undefined;
  readonly delimiter: string;
  readonly header: boolean;
  readonly quote: string;
  readonly encoding: Encoding;
}

export interface FileLayout {
  readonly format: FileFormat;
  readonly compression: Compression;
  readonly delimiter: string;
  readonly quote: string | null;
  readonly header: boolean;
  readonly encoding: Encoding;
}

const byExtension: readonly (readonly [string, FileFormat, string | null])[] = [
  ['jsonl', 'jsonl', null],
  ['ndjson', 'jsonl', null],
  ['json', 'jsonl', null],
  ['csv', 'csv', null],
  ['tsv', 'csv', '\t'],
];

/** @throws CONFIG_INVALID when neither config nor name tell the format. */
export const layoutOf = (path: string, config: FormatConfig): FileLayout => {
  const compressed = /\.(gz|zst)$/.exec(path);
  const compression = config.compression ?? (compressed?.[1] === 'gz' ? 'gzip' : compressed?.[1] === 'zst' ? 'zstd' : 'none');
  const extension = path
    .slice(0, compressed?.index ?? path.length)
    .split('.')
    .at(-1)
    ?.toLowerCase();
  const known = byExtension.find(([name]) => name === extension);
  const format = config.format ?? known?.[1];
  if (format === undefined) throw new TributaryError('CONFIG_INVALID', `The name of file "${path}" does not tell its format; set "format" to jsonl or csv.`);
  const delimiter = known?.[2] != null && config.delimiter === ',' ? known[2] : config.delimiter;
  return { format, compression, delimiter, quote: config.quote === '' ? null : config.quote, header: config.header, encoding: config.encoding };
};
