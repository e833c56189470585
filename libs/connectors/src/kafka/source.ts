import { runChecks } from '@tributary/connector-sdk/check';
import type { OpenSourceContext, Source, SourceConnector } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { KafkaClient } from '@tributary/kafka/connection';
import { commitGroupOffsets } from '@tributary/kafka/group-offsets';
import { openReader } from '@tributary/kafka/reader';
import { earliestOffsets, latestOffsets, listTopics, offsetsForTimestamp, topicPartitions } from '@tributary/kafka/topics';
import type { KafkaSourceConfig } from './config.ts';
import { connect, using } from './connect.ts';
import { createRowMaker } from './message-rows.ts';
import { isReservedTopic, refuseReservedTopic } from './reserved-topics.ts';
import { openSlice, type SliceReader } from './source-reader.ts';

/** Lag tools look every few seconds; more commits than this only burden the brokers. */
const groupCommitMs = 1_000;

const asOffsets = (position: Position): Map<number, bigint> =>
  new Map(Object.entries(position).map(([partition, offset]) => [Number(partition), BigInt(offset)]));

const asPosition = (offsets: ReadonlyMap<number, bigint>): Position =>
  Object.fromEntries([...offsets].map(([partition, offset]) => [String(partition), offset.toString()]));

const openSource = async (config: KafkaSourceConfig, context: OpenSourceContext): Promise<Source> => {
  const topic = context.stream ?? config.topic;
  refuseReservedTopic(topic);
  const client = await connect(config.bootstrap_servers, config, context);
  const groupId = config.consumer_group_id ?? `tributary-${context.consumerId}`;
  const slices: SliceReader[] = [];
  let committedAt = 0;
  let uncommitted: Position | null = null;

  const partitions = async (): Promise<number[]> => (await topicPartitions(client, topic)).filter((partition) => partition % context.slices === context.slice);

  const commitToGroup = async (position: Position): Promise<void> => {
    uncommitted = null;
    committedAt = Date.now();
    const offsets = asOffsets(position);
    if (offsets.size > 0) await commitGroupOffsets(client, groupId, topic, offsets);
  };

  return {
    formats: config.include_metadata ? [] : ['kafka-records'],
    schema: async () => null,
    firstPosition: async () => {
      const own = await partitions();
      return asPosition(
        context.backfill ? await earliestOffsets(client, topic, own) : await offsetsForTimestamp(client, topic, own, context.startedAt.getTime()),
      );
    },
    mergePositions: (positions) => {
      const furthest = new Map<number, bigint>();
      for (const position of positions) {
        for (const [partition, offset] of asOffsets(position)) if (offset > (furthest.get(partition) ?? -1n)) furthest.set(partition, offset);
      }
      return asPosition(furthest);
    },
    read: (from, options) => {
      const slice = openSlice(
        { client, topic, partitions, mode: context.mode, includeMetadata: config.include_metadata, keyFields: context.keyFields ?? null },
        from,
        options,
      );
      slices.push(slice);
      return slice;
    },
    // I2: the position is in the target already; the group's is for lag tools only.
    committed: async (position) => {
      if (Date.now() - committedAt < groupCommitMs) uncommitted = position;
      else await commitToGroup(position);
    },
    lag: async (position) => {
      const ends = await latestOffsets(client, topic, await partitions());
      const at = asOffsets(position);
      let lag = 0n;
      for (const [partition, end] of ends) lag += end - (at.get(partition) ?? 0n);
      return Number(lag < 0n ? 0n : lag);
    },
    close: async () => {
      for (const slice of slices) await slice.close();
      if (uncommitted !== null)
        await commitToGroup(uncommitted).catch(() => context.log.debug('The last position could not be shown to lag tools', { groupId }));
      await client.close();
    },
  };
};

/** The newest `limit` records, oldest first; what is no row is shown as text. */
const newestRows = async (client: KafkaClient, topic: string, limit: number, config: KafkaSourceConfig, signal: AbortSignal): Promise<Row[]> => {
  const all = await topicPartitions(client, topic);
  const [earliest, latest] = await Promise.all([earliestOffsets(client, topic, all), latestOffsets(client, topic, all)]);
  // Offsets are not records: markers, aborted and compacted records leave fewer, so the look back grows.
  for (let window = BigInt(limit); ; window *= 8n) {
    const starts = new Map<number, bigint>();
    for (const [partition, end] of latest) {
      const first = earliest.get(partition) ?? 0n;
      if (end > first) starts.set(partition, end - first > window ? end - window : first);
    }
    const found = starts.size === 0 ? [] : await rowsBetween(client, topic, starts, latest, config, signal);
    const complete = [...starts].every(([partition, start]) => start === earliest.get(partition));
    if (found.length >= limit || complete)
      return found
        .toSorted((a, b) => a.timestamp - b.timestamp)
        .slice(-limit)
        .map(({ row }) => row);
  }
};

interface Found {
  readonly row: Row;
  readonly timestamp: number;
}

const rowsBetween = async (
  client: KafkaClient,
  topic: string,
  starts: ReadonlyMap<number, bigint>,
  ends: ReadonlyMap<number, bigint>,
  config: KafkaSourceConfig,
  signal: AbortSignal,
): Promise<Found[]> => {
  const reader = await openReader(client, { topic, offsets: starts, isolation: 'read_committed', maxBytes: 4 * 1024 * 1024 });
  try {
    const found: Found[] = [];
    const open = new Set(starts.keys());
    while (open.size > 0) {
      for (const { partition, messages, nextOffset } of await reader.next(signal)) {
        for (const message of messages) {
          const maker = createRowMaker(topic, { includeMetadata: config.include_metadata, keyFields: null });
          maker.add(partition, message);
          const [rejected] = maker.unreadable;
          const row = rejected === undefined ? maker.rows[0] : { _unreadable: rejected.reason, _payload: rejected.payload };
          if (row !== undefined) found.push({ row, timestamp: message.timestamp });
        }
        if (nextOffset >= (ends.get(partition) ?? 0n)) open.delete(partition);
      }
    }
    return found;
  } finally {
    await reader.close();
  }
};

export const kafkaSource: SourceConnector<KafkaSourceConfig> = {
  check: async (config, context) => {
    let client: KafkaClient | undefined;
    const connected = (): KafkaClient => {
      if (client === undefined) throw new TributaryError('INTERNAL', 'The connection test went on without a connection.');
      return client;
    };
    try {
      return await runChecks([
        {
          name: 'Connect',
          run: async () => {
            client = await connect(config.bootstrap_servers, config, context);
            return `Connected to ${client.brokers.join(', ')} by ${config.security_protocol}.`;
          },
        },
        {
          name: 'Topic',
          run: async () => `Topic "${config.topic}" has ${(await topicPartitions(connected(), config.topic)).length} partitions.`,
        },
        {
          name: 'Read',
          run: async () => {
            const rows = await newestRows(connected(), config.topic, 1, config, context.signal);
            return rows.length === 0 ? `Topic "${config.topic}" may be read; it is empty.` : `Topic "${config.topic}" may be read.`;
          },
        },
      ]);
    } finally {
      await client?.close();
    }
  },
  streams: (config, context) =>
    using(config.bootstrap_servers, config, context, async (client) =>
      (await listTopics(client)).filter(({ name }) => !isReservedTopic(name)).map(({ name }) => ({ name, schema: null })),
    ),
  sample: async (config, context) => {
    const topic = context.stream ?? config.topic;
    refuseReservedTopic(topic);
    return using(config.bootstrap_servers, config, context, (client) => newestRows(client, topic, context.limit, config, context.signal));
  },
  open: openSource,
};
