/**
 * Offsets of a consumer group that nobody joins ('simple consumer' commits). They serve lag tools alone: Tributary's own
 * position is in the target (I2).
 */
import type { KafkaClient } from './connection.ts';
import { toTributaryError } from './errors.ts';
import { coordinatorTypes, createErrorFromCode, type Broker } from './kafkajs-internals.ts';
import { retrying } from './retry.ts';

/** Generation and member of a commit from outside of group membership. https://kafka.apache.org/protocol#The_Messages_OffsetCommit */
const noGeneration = -1;
const noMember = '';

const atCoordinator = async <T>(client: KafkaClient, groupId: string, topic: string, action: string, ask: (broker: Broker) => Promise<T>): Promise<T> => {
  try {
    return await retrying(
      async () => {
        // Without a topic of its own kafkajs asks for the metadata of all.
        await client.shared.addMultipleTargetTopics([topic]);
        const broker = await client.shared.findGroupCoordinator({ groupId, coordinatorType: coordinatorTypes.group });
        return ask(broker);
      },
      { forMs: 5_000, between: async () => client.shared.connect() },
    );
  } catch (error) {
    throw toTributaryError(error, { action, brokers: client.brokers, fallback: 'SOURCE_FAILED' });
  }
};

/** @throws SOURCE_FAILED when the group has members, PERMISSION_MISSING, HOST_UNREACHABLE */
export const commitGroupOffsets = (client: KafkaClient, groupId: string, topic: string, offsets: ReadonlyMap<number, bigint>): Promise<void> =>
  atCoordinator(client, groupId, topic, `commit the offsets of group "${groupId}"`, async (broker) => {
    await broker.offsetCommit({
      groupId,
      groupGenerationId: noGeneration,
      memberId: noMember,
      topics: [{ topic, partitions: [...offsets].map(([partition, offset]) => ({ partition, offset: offset.toString() })) }],
    });
  });

/** Committed offsets by partition; partitions without one are left out. */
export const fetchGroupOffsets = (client: KafkaClient, groupId: string, topic: string, partitions: readonly number[]): Promise<Map<number, bigint>> =>
  atCoordinator(client, groupId, topic, `read the offsets of group "${groupId}"`, async (broker) => {
    const { responses } = await broker.offsetFetch({ groupId, topics: [{ topic, partitions: partitions.map((partition) => ({ partition })) }] });
    const found = new Map<number, bigint>();
    for (const one of responses.flatMap((response) => response.partitions)) {
      if (one.errorCode !== undefined && one.errorCode !== 0) throw createErrorFromCode(one.errorCode);
      if (BigInt(one.offset) >= 0n) found.set(one.partition, BigInt(one.offset));
    }
    return found;
  });
