/** Under which name the target keeps the checkpoint of a sync. */
import { createHash } from 'node:crypto';
import { secretFields, type ConfigSchema } from '@tributary/connector-sdk/manifest';
import type { z } from 'zod';
import type { End, SyncFile } from './sync-file.ts';

/** Settings that say how data is reached, not which data it is. */
const howNotWhat = /timeout|_(seconds|ms|mb)$|^(pool|ssl|tls|sasl|security)_|cert|^(user|username|fetch_size|consumer_group_id)$/;

/** The settings that say which data it is: no secrets, nothing that is as it would be without being set. */
const placeOf = (schema: ConfigSchema, config: Readonly<Record<string, unknown>>): [string, unknown][] => {
  const secrets = new Set(secretFields(schema));
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema.shape;
  return Object.entries(config)
    .filter(([name, value]) => {
      if (value == null || secrets.has(name) || howNotWhat.test(name)) return false;
      const field = shape[name];
      const unset = field === undefined ? undefined : (field as z.ZodType).safeParse(undefined);
      return unset?.success !== true || JSON.stringify(unset.data) !== JSON.stringify(value);
    })
    .sort(([one], [other]) => (one < other ? -1 : 1));
};

/** The stream that is read, also where the config alone names it. */
export const streamName = (source: End, stream: string | null): string => {
  const name = stream ?? source.config['topic'] ?? source.config['table'] ?? source.config['path'];
  return typeof name === 'string' ? name : '';
};

export const fromText = (file: Pick<SyncFile, 'source' | 'stream'>): string => `${file.source.manifest.name} ${streamName(file.source, file.stream)}`.trim();
export const toText = (file: Pick<SyncFile, 'target' | 'table'>): string => `${file.target.manifest.name} ${file.table}`;

/**
 * The file's own id, else one made of source, stream, target and table. Passwords, time limits and the like may change without changing it.
 * The target's place is not in it, since each target has its own checkpoints.
 */
export const subscriptionId = (file: Pick<SyncFile, 'id' | 'source' | 'stream' | 'target' | 'table'>): string => {
  if (file.id !== null) return file.id;
  const identity = [
    file.source.manifest.slug,
    streamName(file.source, file.stream),
    placeOf(file.source.schema, file.source.config),
    file.target.manifest.slug,
    file.table,
  ];
  return `sync-${createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 20)}`;
};
