/**
 * Checkpoints beside the data: a compacted topic on the target cluster, written in the transaction of the rows (I2).
 *
 * Key `<subscription>-<slices>-<slice>`, all of a subscription in one partition; value
 * `{version: 1, epoch, checkpoint: {position, counts} | null, retired_by: string | null}`.
 */
import { slotId, type Checkpoint, type Slot } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { partitionOfKey, readLatestValues } from '@tributary/kafka/compacted-log';
import type { KafkaClient } from '@tributary/kafka/connection';
import type { OutRecord } from '@tributary/kafka/record-batch-writer';
import { createTopicIfMissing } from '@tributary/kafka/topics';
import { z } from 'zod';
import { checkpointsTopic } from './checkpoints-topic.ts';

const storedSchema = z.object({
  version: z.literal(1),
  epoch: z.number().int(),
  checkpoint: z
    .object({
      position: z.record(z.string(), z.string()),
      counts: z.object({
        read: z.number(),
        mapped: z.number(),
        filtered: z.number(),
        rejected: z.number(),
        emitted: z.number(),
        written: z.number(),
        refused: z.number(),
        bytes: z.number(),
      }),
    })
    .nullable(),
  /** The slot of another layout that took over for good; its owner may claim again at a higher epoch only. */
  retired_by: z.string().nullable(),
});

export type StoredCheckpoint = z.infer<typeof storedSchema>;

export interface NamedCheckpoint extends StoredCheckpoint {
  readonly slices: number;
  readonly slice: number;
}

/** All that is stored of a subscription. Claims read it, so it is kept short: segments roll early, for only closed ones are compacted. */
const settings = {
  'cleanup.policy': 'compact',
  'segment.bytes': String(16 * 1024 * 1024),
  'segment.ms': String(30 * 60 * 1000),
  'min.cleanable.dirty.ratio': '0.05',
  'delete.retention.ms': String(60 * 60 * 1000),
};

export const ensureCheckpointsTopic = (client: KafkaClient): Promise<boolean> =>
  createTopicIfMissing(client, { topic: checkpointsTopic, partitions: 8, config: settings });

export const checkpointPartition = (client: KafkaClient, subscriptionId: string): Promise<number> => partitionOfKey(client, checkpointsTopic, subscriptionId);

const layoutOfKey = (key: string, subscriptionId: string): { slices: number; slice: number } | null => {
  if (!key.startsWith(`${subscriptionId}-`)) return null;
  const match = /^(\d+)-(\d+)$/.exec(key.slice(subscriptionId.length + 1));
  return match === null ? null : { slices: Number(match[1]), slice: Number(match[2]) };
};

/**
 * Checkpoints of all slots of the subscription, also of earlier layouts of its slices. `certain` says which slots' last
 * transaction must be decided, for the others the last committed value is given.
 */
export const readCheckpoints = async (
  client: KafkaClient,
  partition: number,
  subscriptionId: string,
  certain: (layout: { slices: number; slice: number }) => boolean,
  signal: AbortSignal,
): Promise<NamedCheckpoint[]> => {
  const values = await readLatestValues(client, {
    topic: checkpointsTopic,
    partition,
    wanted: (key) => layoutOfKey(key, subscriptionId) !== null,
    certain: (key) => {
      const layout = layoutOfKey(key, subscriptionId);
      return layout !== null && certain(layout);
    },
    signal,
  });
  const found: NamedCheckpoint[] = [];
  for (const [key, value] of values) {
    const layout = layoutOfKey(key, subscriptionId);
    const parsed = storedSchema.safeParse(JSON.parse(value.toString('utf8')));
    if (layout === null || !parsed.success) {
      throw new TributaryError('TARGET_FAILED', `Topic "${checkpointsTopic}" holds a checkpoint "${key}" that this version cannot read.`);
    }
    found.push({ ...parsed.data, ...layout });
  }
  return found;
};

export const checkpointRecord = (
  slot: Slot,
  partition: number,
  stored: Omit<StoredCheckpoint, 'version' | 'checkpoint'> & { readonly checkpoint: Checkpoint | null },
): OutRecord => ({
  key: slotId(slot),
  value: JSON.stringify({ version: 1, ...stored }),
  partition,
});
