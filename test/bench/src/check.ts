/** Writes the source topic, and compares what a copy left with what it should have. */
import type { KafkaClient } from '@tributary/kafka/connection';
import { openProducer } from '@tributary/kafka/producer';
import { openReader } from '@tributary/kafka/reader';
import { createTopicIfMissing, earliestOffsets, latestOffsets, topicPartitions } from '@tributary/kafka/topics';
import { addMapped, addUntouched, mappedOf, messageOf, type FieldSums, type Message } from './messages.ts';

export const partitions = 4;

export interface Expected {
  readonly messages: number;
  readonly mapped: FieldSums;
  readonly untouched: FieldSums;
  /** Mean size of a value. */
  readonly bytes: number;
}

const perSend = 10_000;

export const writeSource = async (client: KafkaClient, topic: string, messages: number): Promise<Expected> => {
  await createTopicIfMissing(client, { topic, partitions });
  const producer = await openProducer(client, { idempotent: true });
  const mapped: FieldSums = new Map();
  const untouched: FieldSums = new Map();
  let bytes = 0;
  try {
    for (let first = 0; first < messages; first += perSend) {
      const batch: Message[] = [];
      for (let id = first; id < Math.min(first + perSend, messages); id++) {
        const message = messageOf(id);
        batch.push(message);
        bytes += message.value.length;
        addMapped(mapped, message.key, mappedOf(message.value));
        addUntouched(untouched, message.key, id, message.value);
      }
      await producer.send(topic, batch);
    }
  } finally {
    await producer.close();
  }
  return { messages, mapped, untouched, bytes: bytes / messages };
};

export interface Content {
  readonly messages: number;
  readonly duplicates: number;
  readonly missing: number;
  /** Messages that stand before one with a lower number in their partition: the order of the source was lost there. */
  readonly outOfOrder: number;
  /** Fields whose sum differs. */
  readonly wrongFields: readonly string[];
}

/** Reads all that is committed in `topic`. */
export const readContent = async (client: KafkaClient, topic: string, expected: Expected, maps: boolean): Promise<Content> => {
  const all = await topicPartitions(client, topic);
  const [offsets, ends] = await Promise.all([earliestOffsets(client, topic, all), latestOffsets(client, topic, all)]);
  const reader = await openReader(client, { topic, offsets, isolation: 'read_committed' });
  const reached = new Map(offsets);
  const seen = new Uint8Array(expected.messages);
  const sums: FieldSums = new Map();
  const lastId = new Map<number, number>();
  let messages = 0;
  let duplicates = 0;
  let strangers = 0;
  let outOfOrder = 0;
  try {
    while (all.some((partition) => (reached.get(partition) ?? 0n) < (ends.get(partition) ?? 0n))) {
      for (const batch of await reader.next()) {
        reached.set(batch.partition, batch.nextOffset);
        for (const message of batch.messages) {
          const text = message.value?.toString() ?? 'null';
          const row = JSON.parse(text) as Readonly<Record<string, unknown>>;
          const id = Number(row['id']);
          const key = message.key?.toString() ?? '';
          messages++;
          if (seen[id] === undefined) strangers++;
          else if (seen[id]++ > 0) duplicates++;
          if (id < (lastId.get(batch.partition) ?? -1)) outOfOrder++;
          lastId.set(batch.partition, id);
          if (maps) addMapped(sums, key, row);
          else addUntouched(sums, key, id, text);
        }
      }
    }
  } finally {
    await reader.close();
  }
  const wanted = maps ? expected.mapped : expected.untouched;
  const wrongFields = [...new Set([...wanted.keys(), ...sums.keys()])].filter((field) => wanted.get(field) !== sums.get(field));
  return { messages, duplicates, missing: expected.messages - (messages - duplicates - strangers), outOfOrder, wrongFields };
};

export const isComplete = (content: Content): boolean => content.missing === 0 && content.duplicates === 0 && content.wrongFields.length === 0;
