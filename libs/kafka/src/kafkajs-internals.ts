/**
 * The one file that reaches into kafkajs 2.2.4, with types for just what we use of it. kafkajs has no `exports` map, so
 * its inner modules can be loaded by path; the version is pinned exactly because of this.
 *
 * Kept of kafkajs: connections, TLS, SASL, metadata, coordinators, timeouts, the group protocol. Not kept: reading and
 * writing record batches, which is where its time goes (see record-batch-writer.ts and record-batch-reader.ts).
 */
import { createRequire } from 'node:module';
import type { ISocketFactory, logCreator, RetryOptions, SASLOptions } from 'kafkajs';

const load = createRequire(import.meta.url);

/** A growing buffer; `buffer` is the part written. */
interface Encoder {
  readonly buffer: Buffer;
}

export interface WireRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  encode(): Promise<Encoder>;
}

interface WireResponse<T> {
  decode(payload: Buffer): Promise<T>;
  parse(decoded: T): Promise<T>;
}

export interface WireCall<T> {
  readonly request: WireRequest;
  readonly response: WireResponse<T>;
  /** Milliseconds; the longer of this and the connection's own limit counts. */
  readonly requestTimeout?: number;
  readonly logResponseError?: boolean;
}

/** What a response resolves to before it is decoded. */
interface AnsweredRequest {
  readonly payload: Buffer;
}

export interface Connection {
  readonly socket: { cork(): void; uncork(): void; write(data: Buffer): boolean; destroy(): void } | undefined;
  readonly clientId: string;
  readonly requestQueue: {
    push(request: {
      entry: {
        apiKey: number;
        apiName: string;
        apiVersion: number;
        correlationId: number;
        resolve: (answer: AnsweredRequest) => void;
        reject: (error: unknown) => void;
      };
      expectResponse: boolean;
      requestTimeout: number | null;
      sendRequest: () => void;
    }): void;
    maybeThrottle(milliseconds: number): void;
  };
  isAuthenticated(): boolean;
  authenticate(): Promise<void>;
  isConnected(): boolean;
  nextCorrelationId(): number;
  rejectRequests(error: Error): void;
}

export interface PartitionMetadata {
  readonly partitionErrorCode: number;
  readonly partitionId: number;
  readonly leader: number;
  readonly replicas: number[];
  readonly isr: number[];
}

export interface ClusterMetadata {
  readonly brokers: { nodeId: number; host: string; port: number }[];
  readonly controllerId: number;
  readonly topicMetadata: { topicErrorCode: number; topic: string; isInternal?: boolean; partitionMetadata: PartitionMetadata[] }[];
}

interface RequestDefinition<Arguments, T> {
  readonly versions: string[];
  protocol(options: { version: number }): (arguments_: Arguments) => WireCall<T>;
}

interface FetchArguments {
  readonly isolationLevel: number;
  readonly maxWaitTime: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly topics: { topic: string; partitions: { partition: number; fetchOffset: string; maxBytes: number }[] }[];
  readonly rackId?: string;
}

interface OffsetsOfTopic {
  readonly topic: string;
  readonly partitions: { partition: number; offset: string; metadata?: string | null; errorCode?: number }[];
}

export interface Broker {
  readonly nodeId: number;
  readonly brokerAddress: string;
  readonly versions: Record<number, { minVersion: number; maxVersion: number }>;
  readonly connectionPool: {
    readonly host: string;
    readonly port: number;
    readonly pool: readonly Connection[];
    getConnection(index: number): Promise<Connection>;
    send<T>(call: WireCall<T>): Promise<T>;
  };
  lookupRequest<Arguments, T>(apiKey: number, definition: RequestDefinition<Arguments, T>): (arguments_: Arguments) => WireCall<T>;
  isConnected(): boolean;
  disconnect(): Promise<void>;
  listOffsets(request: {
    isolationLevel: number;
    topics: { topic: string; partitions: { partition: number; timestamp: number | string }[] }[];
  }): Promise<{ responses: { topic: string; partitions: { partition: number; offset: string; timestamp: string }[] }[] }>;
  describeConfigs(request: {
    resources: { type: number; name: string }[];
    includeSynonyms: boolean;
  }): Promise<{ resources: { configEntries: { configName: string; configValue: string }[] }[] }>;
  initProducerId(request: { transactionalId?: string; transactionTimeout?: number }): Promise<{ producerId: string; producerEpoch: number }>;
  addPartitionsToTxn(request: {
    transactionalId: string;
    producerId: string;
    producerEpoch: number;
    topics: { topic: string; partitions: number[] }[];
  }): Promise<unknown>;
  endTxn(request: { transactionalId: string; producerId: string; producerEpoch: number; transactionResult: boolean }): Promise<unknown>;
  offsetCommit(request: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: { topic: string; partitions: { partition: number; offset: string }[] }[];
  }): Promise<unknown>;
  offsetFetch(request: { groupId: string; topics: { topic: string; partitions: { partition: number }[] }[] }): Promise<{ responses: OffsetsOfTopic[] }>;
}

export interface Cluster {
  readonly brokerPool: {
    readonly metadata: ClusterMetadata | null;
    readonly seedBroker: Broker | undefined;
    readonly brokers: Readonly<Record<string, Broker>>;
    findConnectedBroker(): Promise<Broker>;
    createSeedBroker(): Promise<void>;
  };
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  isConnected(): boolean;
  refreshMetadata(): Promise<void>;
  refreshMetadataIfNecessary(): Promise<void>;
  addMultipleTargetTopics(topics: string[]): Promise<void>;
  findBroker(options: { nodeId: number | string }): Promise<Broker>;
  findControllerBroker(): Promise<Broker>;
  findGroupCoordinator(options: { groupId: string; coordinatorType: number }): Promise<Broker>;
  findTopicPartitionMetadata(topic: string): PartitionMetadata[];
  removeBroker(address: { host: string; port: number }): void;
}

interface ClusterOptions {
  readonly logger: unknown;
  readonly socketFactory: ISocketFactory;
  readonly brokers: string[];
  readonly ssl: object | boolean | undefined;
  readonly sasl: SASLOptions | object | undefined;
  readonly clientId: string;
  readonly connectionTimeout: number;
  readonly authenticationTimeout: number;
  readonly requestTimeout: number;
  readonly enforceRequestTimeout: boolean;
  readonly metadataMaxAge: number;
  readonly retry: RetryOptions;
  readonly allowAutoTopicCreation: boolean;
  readonly isolationLevel: number;
}

const ClusterClass = load('kafkajs/src/cluster') as new (options: ClusterOptions) => Cluster;
const loggers = load('kafkajs/src/loggers') as { createLogger(options: { level: number; logCreator: logCreator }): unknown };

const kafkajsSocketFactory = (load('kafkajs/src/network/socketFactory') as () => ISocketFactory)();

export const socketFactory: ISocketFactory = (options) => {
  const socket = kafkajsSocketFactory(options);
  // kafkajs disconnects a connection that is gone again with every attempt, and each time `unref` leaves a listener on the dead socket, until a new one takes its place.
  socket.setMaxListeners(0);
  return socket;
};

/** kafkajs' broker pool and connections for one purpose; every reader and producer has its own, as kafkajs does it. */
export const createCluster = (options: ClusterOptions): Cluster => new ClusterClass(options);

export const createKafkajsLogger = (level: number, creator: logCreator): unknown => loggers.createLogger({ level, logCreator: creator });

/** https://kafka.apache.org/protocol#protocol_api_keys */
export const apiKeys = { produce: 0, fetch: 1, metadata: 3 } as const;

export const isolationLevels = { read_uncommitted: 0, read_committed: 1 } as const;

export const coordinatorTypes = { group: 0, transaction: 1 } as const;

export const fetchDefinition = load('kafkajs/src/protocol/requests/fetch') as RequestDefinition<FetchArguments, unknown>;

export const metadataDefinition = load('kafkajs/src/protocol/requests/metadata') as RequestDefinition<
  { topics: string[]; allowAutoTopicCreation: boolean },
  ClusterMetadata
>;

interface KnownError {
  readonly type: string;
  readonly code: number;
  readonly retriable: boolean;
  readonly message: string;
}

const protocolErrorModule = load('kafkajs/src/protocol/error') as { createErrorFromCode(code: number): Error; errorCodes: KnownError[] };

/** An error of the broker by its protocol number; `type` is its name. */
export const createErrorFromCode = protocolErrorModule.createErrorFromCode;

// kafkajs' table ends before these, and it loses the number of a code it does not know.
protocolErrorModule.errorCodes.push(
  { type: 'THROTTLING_QUOTA_EXCEEDED', code: 89, retriable: true, message: 'The throttling quota has been exceeded' },
  { type: 'PRODUCER_FENCED', code: 90, retriable: false, message: 'There is a newer producer with the same transactional id' },
  { type: 'TRANSACTION_ABORTABLE', code: 120, retriable: false, message: 'The transaction can only be aborted' },
);

/** Drops a broker's connections after one of them failed or timed out half-way; the next request makes new ones. Never throws. */
export const dropConnections = async (broker: Broker): Promise<void> => {
  // On a connection that is gone already kafkajs would leave a listener behind each time.
  if (broker.isConnected()) await broker.disconnect().catch(() => undefined);
};

/** Ends the connections of a broker that may never answer again: what waits for it fails. */
const cutConnections = (brokers: readonly Broker[]): void => {
  for (const connection of brokers.flatMap((broker) => broker.connectionPool.pool)) {
    connection.rejectRequests(createErrorFromCode(13));
    connection.socket?.destroy();
  }
};

/** Goes on with the next of the cluster's bootstrap addresses. */
export const rotateSeedBroker = async (cluster: Cluster): Promise<void> => {
  const { seedBroker } = cluster.brokerPool;
  if (seedBroker !== undefined) cutConnections([seedBroker]);
  await cluster.brokerPool.createSeedBroker();
};

/** How long a request under way, such as a long poll, may take to finish when its connections are closed. */
const closingMs = 1_000;

/** Disconnects, within a second even from a broker that no longer answers; kafkajs alone waits for every request. Never throws. */
export const closeCluster = async (cluster: Cluster): Promise<void> => {
  const { seedBroker, brokers } = cluster.brokerPool;
  const all = [...Object.values(brokers), ...(seedBroker === undefined ? [] : [seedBroker])];
  const forced = setTimeout(() => cutConnections(all), closingMs);
  await cluster.disconnect().catch(() => undefined);
  clearTimeout(forced);
};

interface TimerQueue {
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  pending: unknown[];
  checkPendingRequests(): void;
}

// kafkajs re-arms a timer after every answer, even with nothing queued, and with a negative delay: every connection then
// wakes the process a thousand times a second and Node warns about it. Arm it only when a request waits.
const requestQueue = load('kafkajs/src/network/requestQueue') as { prototype: { scheduleCheckPendingRequests(this: TimerQueue): void } };
requestQueue.prototype.scheduleCheckPendingRequests = function scheduleOnlyWhatWaits(this: TimerQueue): void {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const delay = Math.max(this.throttledUntil - Date.now(), 10);
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, delay);
};
