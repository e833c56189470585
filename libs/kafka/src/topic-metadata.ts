/** Leaders and partitions of topics, asked for without failing on topics that are not ours. */
import { TributaryError } from '@tributary/errors/error';
import {
  createErrorFromCode,
  apiKeys,
  metadataDefinition,
  type Broker,
  type Cluster,
  type ClusterMetadata,
  type PartitionMetadata,
} from './kafkajs-internals.ts';
import { protocolErrors } from './errors.ts';

/** Metadata of `topics`, or of all when empty. kafkajs throws when any topic of the cluster has an error; here each says its own. */
export const fetchMetadata = async (cluster: Cluster, topics: readonly string[]): Promise<ClusterMetadata> => {
  const broker = await cluster.brokerPool.findConnectedBroker();
  const call = broker.lookupRequest(apiKeys.metadata, metadataDefinition)({ topics: [...topics], allowAutoTopicCreation: false });
  return broker.connectionPool.send({ ...call, response: { decode: (payload) => call.response.decode(payload), parse: async (data) => data } });
};

/** A topic's partitions with their leaders, asked for now. @throws STREAM_NOT_FOUND, PERMISSION_MISSING or kafkajs' error */
export const partitionsOf = async (cluster: Cluster, topic: string): Promise<PartitionMetadata[]> => {
  const metadata = await fetchMetadata(cluster, [topic]);
  const found = metadata.topicMetadata.find((one) => one.topic === topic);
  if (found === undefined || found.topicErrorCode === protocolErrors.unknownTopicOrPartition || found.topicErrorCode === protocolErrors.invalidTopic) {
    throw new TributaryError('STREAM_NOT_FOUND', `Kafka topic "${topic}" does not exist, or this user may not see it.`);
  }
  if (found.topicErrorCode !== 0) throw createErrorFromCode(found.topicErrorCode);
  return found.partitionMetadata;
};

/** Partition ids of a topic, ascending. @throws as partitionsOf */
export const partitionIds = async (cluster: Cluster, topic: string): Promise<number[]> =>
  (await partitionsOf(cluster, topic)).map((one) => one.partitionId).toSorted((a, b) => a - b);

/** The brokers that lead `partitions` by this metadata, each with its partitions. Partitions without a leader are left out. */
export const leadersOf = async (cluster: Cluster, metadata: readonly PartitionMetadata[], partitions: readonly number[]): Promise<Map<Broker, number[]>> => {
  const byNode = new Map<number, number[]>();
  const wanted = new Set(partitions);
  for (const { partitionId, leader } of metadata) {
    if (!wanted.has(partitionId) || leader < 0) continue;
    const list = byNode.get(leader);
    if (list === undefined) byNode.set(leader, [partitionId]);
    else list.push(partitionId);
  }
  const byBroker = new Map<Broker, number[]>();
  for (const [nodeId, list] of byNode) byBroker.set(await cluster.findBroker({ nodeId }), list);
  return byBroker;
};
