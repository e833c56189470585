/** A Kafka cluster as configured: checked settings, and connections made of them. */
import { TributaryError } from '@tributary/errors/error';
import kafkajs, { type LogEntry } from 'kafkajs';
// Gives kafkajs its codecs.
import './codecs.ts';
import { toTributaryError } from './errors.ts';
import { closeCluster, createCluster, createKafkajsLogger, rotateSeedBroker, socketFactory, isolationLevels, type Cluster } from './kafkajs-internals.ts';
import { saslOptions, type SaslSettings } from './sasl.ts';

export type SecurityProtocol = 'PLAINTEXT' | 'SASL_PLAINTEXT' | 'SASL_SSL' | 'SSL';

export interface KafkaLog {
  debug(message: string, facts?: Readonly<Record<string, unknown>>): void;
  warn(message: string, facts?: Readonly<Record<string, unknown>>): void;
}

export interface KafkaConnectionConfig extends SaslSettings {
  /** `host:port` each. */
  readonly brokers: readonly string[];
  /** Shows in the broker's logs and quotas. */
  readonly clientId: string;
  readonly securityProtocol: SecurityProtocol;
  /** PEM; default: the certificate authorities Node knows. */
  readonly caCert?: string | undefined;
  /** PEM client certificate and its key, where the broker asks for one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly log?: KafkaLog | undefined;
}

export type IsolationLevel = 'read_committed' | 'read_uncommitted';

export interface KafkaClient {
  readonly brokers: readonly string[];
  readonly log: KafkaLog;
  /** kafkajs itself, for group consumption and administration. */
  readonly kafkajs: kafkajs.Kafka;
  /** Connections of their own, so that one user's long poll or large request never delays another's. The caller disconnects. */
  cluster(isolation: IsolationLevel): Promise<Cluster>;
  /** Connections for short requests, shared; read_committed. */
  readonly shared: Cluster;
  /** Closes the shared connections. Readers, producers and consumers are closed by those who opened them. */
  close(): Promise<void>;
}

const silent: KafkaLog = { debug: () => undefined, warn: () => undefined };

/**
 * kafkajs' log lines to ours. Its errors are thrown as well and reported by whoever catches them, so they are debug
 * here; payloads and stacks are left out.
 */
const logCreator = (log: KafkaLog) => () => (entry: LogEntry) => {
  const { message, broker, clientId, groupId, retryCount } = entry.log as Record<string, unknown>;
  const facts = { component: `kafkajs ${entry.namespace}`.trim(), broker, clientId, groupId, retryCount };
  if (entry.level === kafkajs.logLevel.WARN) log.warn(String(message), facts);
  else log.debug(String(message), facts);
};

/** How long the brokers of a cluster may take to answer a connection, together. */
const answerMs = 10_000;
/** Of that, the least that one of them gets: a TLS handshake and SASL take a while on a busy machine. */
const leastAnswerMs = 3_000;

const silence = Symbol('the broker accepted the connection and said nothing');

/** kafkajs alone waits half a minute for a broker that accepts connections and never answers, and then asks the same one again. */
const connectWithin = async (cluster: Cluster, brokers: readonly string[]): Promise<void> => {
  const share = Math.max(answerMs / brokers.length, leastAnswerMs);
  const tries = Math.min(brokers.length, Math.floor(answerMs / share));
  for (let attempt = 1; ; attempt++) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<typeof silence>((resolve) => {
      timer = setTimeout(() => resolve(silence), share);
    });
    const connecting = cluster.connect();
    try {
      if ((await Promise.race([connecting, late])) !== silence) return;
    } finally {
      clearTimeout(timer);
    }
    if (attempt === tries) {
      const asked = brokers.length === 1 ? `broker ${brokers[0]} does` : `brokers ${brokers.join(', ')} do`;
      throw new TributaryError(
        'HOST_UNREACHABLE',
        `Kafka could not be reached: ${asked} not answer within ${answerMs / 1_000} s; check that a Kafka listener is there and that security_protocol fits it`,
      );
    }
    await rotateSeedBroker(cluster);
  }
};

const checkedBrokers = (brokers: readonly string[]): string[] => {
  const list = brokers.map((one) => one.trim()).filter((one) => one !== '');
  if (list.length === 0) throw new TributaryError('CONFIG_INVALID', 'No Kafka broker is given; bootstrap servers are "host:port", separated by commas.');
  for (const one of list) {
    const port = Number(/^[^:\s]+:(\d{1,5})$/.exec(one)?.[1] ?? Number.NaN);
    if (!(port >= 1 && port <= 65535)) throw new TributaryError('CONFIG_INVALID', `Kafka broker "${one}" is not of the form "host:port".`);
  }
  return list;
};

const tlsOptions = (config: KafkaConnectionConfig): object | undefined => {
  if (config.securityProtocol !== 'SSL' && config.securityProtocol !== 'SASL_SSL') return undefined;
  const given = (pem: string | undefined): string | undefined => (pem === undefined || pem.trim() === '' ? undefined : pem);
  const ca = given(config.caCert);
  const cert = given(config.cert);
  const key = given(config.key);
  if ((cert === undefined) !== (key === undefined)) {
    throw new TributaryError('CONFIG_INVALID', 'A TLS client certificate needs both cert and key.');
  }
  return { ...(ca === undefined ? {} : { ca: [ca] }), ...(cert === undefined ? {} : { cert, key }) };
};

/**
 * Connects to the cluster, which proves address, TLS and credentials.
 * @throws CONFIG_INVALID, UNSUPPORTED, HOST_UNREACHABLE, TLS_FAILED, CREDENTIALS_REJECTED
 */
export const connectKafka = async (config: KafkaConnectionConfig): Promise<KafkaClient> => {
  const brokers = checkedBrokers(config.brokers);
  const log = config.log ?? silent;
  const ssl = tlsOptions(config);
  const sasl = config.securityProtocol.startsWith('SASL_') ? saslOptions(config) : undefined;
  const common = {
    brokers,
    clientId: config.clientId,
    connectionTimeout: 5_000,
    authenticationTimeout: 10_000,
    requestTimeout: 30_000,
    enforceRequestTimeout: true,
    socketFactory,
    // Retrying is ours (retry.ts): kafkajs' own only bridges single failures, and two layers of it would multiply.
    retry: { retries: 1, initialRetryTime: 100, maxRetryTime: 1_000 },
  };
  const kafka = new kafkajs.Kafka({
    ...common,
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
    logCreator: logCreator(log),
    logLevel: kafkajs.logLevel.WARN,
  });

  const unconnected = (isolation: IsolationLevel): Cluster =>
    createCluster({
      ...common,
      ssl,
      sasl,
      logger: createKafkajsLogger(kafkajs.logLevel.WARN, logCreator(log)),
      metadataMaxAge: 300_000,
      allowAutoTopicCreation: false,
      isolationLevel: isolationLevels[isolation],
    });

  const connect = async (cluster: Cluster): Promise<Cluster> => {
    try {
      await connectWithin(cluster, brokers);
      return cluster;
    } catch (error) {
      await closeCluster(cluster);
      throw toTributaryError(error, { action: 'be reached', brokers, saslMechanism: config.saslMechanism, fallback: 'SERVICE_UNAVAILABLE' });
    }
  };

  const shared = await connect(unconnected('read_committed'));
  return {
    brokers,
    log,
    kafkajs: kafka,
    shared,
    cluster: (isolation) => connect(unconnected(isolation)),
    close: () => closeCluster(shared),
  };
};
