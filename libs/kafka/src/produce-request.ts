/**
 * One Produce request (https://kafka.apache.org/protocol#The_Messages_Produce) written to kafkajs' connection: its
 * connection, authentication, correlation ids, throttling and timeouts stay; its encoder, which copies every batch
 * several times through growing buffers, does not.
 */
import { apiKeys, createErrorFromCode, type Broker, type Connection } from './kafkajs-internals.ts';

export interface ProduceBatch {
  readonly topic: string;
  readonly partition: number;
  readonly batch: Buffer;
}

export interface ProduceOutcome {
  readonly topic: string;
  readonly partition: number;
  /** 0: appended. */
  readonly errorCode: number;
  readonly baseOffset: bigint;
}

interface ProduceOptions {
  readonly transactionalId: string | null;
  /** How long the broker may wait for the in-sync replicas. */
  readonly timeoutMs: number;
}

/** 7 allows zstd; 3 is the oldest that carries record batches, and the oldest of Kafka 4. Layouts of 3 to 7 are equal. */
const newestVersion = 7;
const oldestVersion = 3;
const acksAll = -1;

const groupByTopic = (batches: readonly ProduceBatch[]): Map<string, ProduceBatch[]> => {
  const topics = new Map<string, ProduceBatch[]>();
  for (const one of batches) {
    const list = topics.get(one.topic);
    if (list === undefined) topics.set(one.topic, [one]);
    else list.push(one);
  }
  return topics;
};

const string = (value: string | null): Buffer => {
  if (value === null) return Buffer.from([0xff, 0xff]);
  const text = Buffer.from(value);
  const field = Buffer.allocUnsafe(2 + text.length);
  field.writeInt16BE(text.length);
  text.copy(field, 2);
  return field;
};

const int32s = (...values: number[]): Buffer => {
  const field = Buffer.allocUnsafe(4 * values.length);
  for (const [index, value] of values.entries()) field.writeInt32BE(value, 4 * index);
  return field;
};

/** The request in pieces, so that the batches themselves are never copied. */
const encode = (batches: readonly ProduceBatch[], version: number, correlationId: number, clientId: string, options: ProduceOptions): Buffer[] => {
  const fixed = Buffer.allocUnsafe(8);
  fixed.writeInt16BE(apiKeys.produce, 0);
  fixed.writeInt16BE(version, 2);
  fixed.writeInt32BE(correlationId, 4);
  const acks = Buffer.allocUnsafe(2);
  acks.writeInt16BE(acksAll);
  const topics = groupByTopic(batches);
  const pieces = [fixed, string(clientId), string(options.transactionalId), acks, int32s(options.timeoutMs, topics.size)];
  for (const [topic, ofTopic] of topics) {
    pieces.push(string(topic), int32s(ofTopic.length));
    for (const { partition, batch } of ofTopic) pieces.push(int32s(partition, batch.length), batch);
  }
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return [int32s(length), ...pieces];
};

const decode = (payload: Buffer, version: number): { outcomes: ProduceOutcome[]; throttleMs: number } => {
  let offset = 0;
  const int32 = (): number => payload.readInt32BE((offset += 4) - 4);
  const outcomes: ProduceOutcome[] = [];
  for (let topics = int32(); topics > 0; topics--) {
    const nameLength = payload.readInt16BE(offset);
    const topic = payload.toString('utf8', offset + 2, offset + 2 + nameLength);
    offset += 2 + nameLength;
    for (let count = int32(); count > 0; count--) {
      outcomes.push({
        topic,
        partition: payload.readInt32BE(offset),
        errorCode: payload.readInt16BE(offset + 4),
        baseOffset: payload.readBigInt64BE(offset + 6),
      });
      // partition, error code, base offset, log append time, and from version 5 the log start offset
      offset += 4 + 2 + 8 + 8 + (version >= 5 ? 8 : 0);
    }
  }
  return { outcomes, throttleMs: int32() };
};

const write = async (connection: Connection, version: number, batches: readonly ProduceBatch[], options: ProduceOptions): Promise<Buffer> => {
  if (!connection.isAuthenticated()) await connection.authenticate();
  const correlationId = connection.nextCorrelationId();
  const pieces = encode(batches, version, correlationId, connection.clientId, options);
  const { promise, resolve, reject } = Promise.withResolvers<{ payload: Buffer }>();
  connection.requestQueue.push({
    entry: { apiKey: apiKeys.produce, apiName: 'Produce', apiVersion: version, correlationId, resolve, reject },
    expectResponse: true,
    requestTimeout: null,
    sendRequest: () => {
      connection.socket?.cork();
      for (const piece of pieces) connection.socket?.write(piece);
      connection.socket?.uncork();
    },
  });
  return (await promise).payload;
};

/** Sends at most one batch per partition, all led by `broker`, and says what became of each. Throws when the answer did not come. */
export const produce = async (broker: Broker, batches: readonly ProduceBatch[], options: ProduceOptions): Promise<ProduceOutcome[]> => {
  const supported = broker.versions[apiKeys.produce];
  const version = Math.min(newestVersion, supported?.maxVersion ?? 0);
  if (version < oldestVersion) throw createErrorFromCode(35);
  const connection = await broker.connectionPool.getConnection(0);
  if (!connection.isConnected()) throw createErrorFromCode(13);
  const { outcomes, throttleMs } = decode(await write(connection, version, batches, options), version);
  // From version 6 the broker answers at once and expects the client to wait (KIP-219).
  if (version >= 6) connection.requestQueue.maybeThrottle(throttleMs);
  return outcomes;
};
