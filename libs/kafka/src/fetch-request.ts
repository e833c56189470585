/** One Fetch request (https://kafka.apache.org/protocol#The_Messages_Fetch) over kafkajs' connection, with the answer split into record batches but not decoded. */
import { apiKeys, fetchDefinition, isolationLevels, type Broker, type WireCall } from './kafkajs-internals.ts';
import { splitRecordBatches, type RecordBatch } from './record-batch-reader.ts';

interface PartitionPosition {
  readonly partition: number;
  readonly offset: bigint;
}

export interface FetchOptions {
  readonly topic: string;
  readonly positions: readonly PartitionPosition[];
  readonly isolation: keyof typeof isolationLevels;
  /** Bounds of the whole answer and of each partition's share; a larger first batch is sent all the same. */
  readonly maxBytes: number;
  readonly maxBytesPerPartition: number;
  /** The broker waits until `minBytes` are there or `maxWaitMs` have passed. */
  readonly minBytes: number;
  readonly maxWaitMs: number;
}

export interface FetchedPartition {
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: bigint;
  readonly lastStableOffset: bigint;
  /** Ordered by first offset. */
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[];
  readonly batches: readonly RecordBatch[];
}

interface FetchAnswer {
  readonly errorCode: number;
  readonly partitions: FetchedPartition[];
  /** kafkajs waits so long before the next request on this connection (KIP-219). */
  readonly clientSideThrottleTime: number;
}

/** Versions 4 to 11: 5 adds the log start offset, 7 the session, 11 the preferred replica. */
const readAnswer = (payload: Buffer, version: number, topic: string): FetchAnswer => {
  let offset = 0;
  const int16 = (): number => payload.readInt16BE((offset += 2) - 2);
  const int32 = (): number => payload.readInt32BE((offset += 4) - 4);
  const int64 = (): bigint => payload.readBigInt64BE((offset += 8) - 8);

  const throttle = int32();
  const errorCode = version >= 7 ? int16() : 0;
  if (version >= 7) int32();
  const partitions: FetchedPartition[] = [];
  for (let topics = int32(); topics > 0; topics--) {
    const nameLength = int16();
    offset += nameLength;
    for (let count = int32(); count > 0; count--) {
      const partition = int32();
      const partitionError = int16();
      const highWatermark = int64();
      const lastStableOffset = int64();
      if (version >= 5) int64();
      const aborted: { producerId: bigint; firstOffset: bigint }[] = [];
      for (let abortedCount = int32(); abortedCount > 0; abortedCount--) aborted.push({ producerId: int64(), firstOffset: int64() });
      aborted.sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : a.firstOffset > b.firstOffset ? 1 : 0));
      if (version >= 11) int32();
      const length = Math.max(int32(), 0);
      const records = payload.subarray(offset, offset + length);
      offset += length;
      const batches = splitRecordBatches(records, `topic "${topic}" partition ${partition}`);
      partitions.push({ partition, errorCode: partitionError, highWatermark, lastStableOffset, aborted, batches });
    }
  }
  return { errorCode, partitions, clientSideThrottleTime: version >= 8 ? throttle : 0 };
};

export const fetchRecords = async (broker: Broker, options: FetchOptions): Promise<FetchAnswer> => {
  const call = broker.lookupRequest(
    apiKeys.fetch,
    fetchDefinition,
  )({
    isolationLevel: isolationLevels[options.isolation],
    maxWaitTime: options.maxWaitMs,
    minBytes: options.minBytes,
    maxBytes: options.maxBytes,
    topics: [
      {
        topic: options.topic,
        partitions: options.positions.map(({ partition, offset }) => ({ partition, fetchOffset: offset.toString(), maxBytes: options.maxBytesPerPartition })),
      },
    ],
  });
  const { request } = call;
  const ours: WireCall<FetchAnswer> = {
    ...call,
    request,
    response: { decode: async (payload) => readAnswer(payload, request.apiVersion, options.topic), parse: async (answer) => answer },
  };
  return broker.connectionPool.send(ours);
};
