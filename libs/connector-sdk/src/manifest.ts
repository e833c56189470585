/** What a connector says of itself. The manifest imports no driver: drivers load when a source or target is opened. */
import { z } from 'zod';
import type { SourceConnector } from './source.ts';
import type { TargetConnector } from './target.ts';

/**
 * How a target excludes a worker that no longer owns the slot:
 * - `transaction`: rows, checkpoint and epoch commit in one transaction.
 * - `producer`: Kafka's transactional producer.
 * - `manifest`: a file created exclusively under the next number.
 * - `none`: at-least-once.
 */
export type Fence = 'transaction' | 'producer' | 'manifest' | 'none';

export type ConfigSchema = z.ZodObject;

interface SourceRole<Config extends ConfigSchema> {
  readonly config: Config;
  readonly capabilities: {
    /** Goes on for ever when asked to; else it ends with the data. */
    readonly continuous: boolean;
    /** Can be read in several slices at once. */
    readonly slices: boolean;
  };
  /** Loads the driver. */
  readonly load: () => Promise<SourceConnector<z.output<Config>>>;
}

interface TargetRole<Config extends ConfigSchema> {
  readonly config: Config;
  readonly fence: Fence;
  readonly load: () => Promise<TargetConnector<z.output<Config>>>;
}

export interface Manifest<S extends ConfigSchema = ConfigSchema, T extends ConfigSchema = ConfigSchema> {
  /** `postgresql`: the folder's name; `<SLUG>_SOURCE` and `<SLUG>_TARGET` are the type names of the pipelines API. */
  readonly slug: string;
  readonly name: string;
  /** A heading of the catalogue: `Databases`, `Streams`, `Files`… */
  readonly category: string;
  readonly description: string;
  readonly source?: SourceRole<S>;
  readonly target?: TargetRole<T>;
}

export const defineConnector = <S extends ConfigSchema, T extends ConfigSchema>(manifest: Manifest<S, T>): Manifest<S, T> => manifest;

/** Facts for the form and for sealing, from a field's `.meta({title, description, secret, order})`. */
export interface FieldMeta {
  readonly title?: string;
  readonly description?: string;
  /** Sealed at rest, never answered, never logged. */
  readonly secret?: boolean;
  readonly order?: number;
}

/** The names of the config's secret fields. */
export const secretFields = (config: ConfigSchema): string[] =>
  Object.entries(config.shape)
    .filter(([, field]) => (z.globalRegistry.get(field as z.ZodType) as FieldMeta | undefined)?.secret === true)
    .map(([name]) => name);
