import { TributaryError } from '@tributary/errors/error';
import type { ErrorCode } from '@tributary/errors/codes';

/** What was being done, for the message. */
export interface FailedAction {
  /** A phrase that completes 'Kafka could not …', such as 'read topic "orders"'. */
  readonly action: string;
  readonly topic?: string;
  /** Bootstrap addresses, named when no broker could be reached. */
  readonly brokers?: readonly string[];
  readonly saslMechanism?: string | undefined;
  /** Whose failure it is when nothing more precise is known. */
  readonly fallback?: 'SOURCE_FAILED' | 'TARGET_FAILED' | 'SERVICE_UNAVAILABLE';
}

interface KafkajsError {
  readonly name: string;
  readonly message: string;
  readonly type?: unknown;
  readonly code?: unknown;
  readonly broker?: unknown;
  readonly retriable?: unknown;
  readonly cause?: unknown;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** kafkajs wraps the error that mattered in 'retries exceeded' and 'non retriable' ones: the innermost that says something. */
const innermost = (error: unknown): KafkajsError => {
  let current = error;
  for (let depth = 0; depth < 8 && isObject(current); depth++) {
    const cause = current['cause'];
    if (!isObject(cause) || cause === current || !(cause instanceof Error)) break;
    current = cause;
  }
  if (current instanceof Error) return current;
  return { name: 'Error', message: String(current) };
};

/** https://kafka.apache.org/protocol#protocol_error_codes */
export const protocolErrors = {
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeader: 6,
  requestTimedOut: 7,
  replicaNotAvailable: 9,
  messageTooLarge: 10,
  networkException: 13,
  coordinatorLoading: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  invalidTopic: 17,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  notEnoughReplicasAfterAppend: 20,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  topicAlreadyExists: 36,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  invalidTransactionState: 48,
  invalidProducerIdMapping: 49,
  concurrentTransactions: 51,
  transactionCoordinatorFenced: 52,
  transactionalIdAuthorizationFailed: 53,
  storageError: 56,
  unknownProducerId: 59,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
  offsetNotAvailable: 78,
  unstableOffsetCommit: 88,
  producerFenced: 90,
  transactionAbortable: 120,
} as const;

/** Codes after which the same request can succeed once metadata is fresh or the broker has caught up. */
const retriableCodes: ReadonlySet<number> = new Set([
  protocolErrors.corruptMessage,
  protocolErrors.unknownTopicOrPartition,
  protocolErrors.leaderNotAvailable,
  protocolErrors.notLeader,
  protocolErrors.requestTimedOut,
  protocolErrors.replicaNotAvailable,
  protocolErrors.networkException,
  protocolErrors.coordinatorLoading,
  protocolErrors.coordinatorNotAvailable,
  protocolErrors.notCoordinator,
  protocolErrors.notEnoughReplicas,
  protocolErrors.notEnoughReplicasAfterAppend,
  protocolErrors.concurrentTransactions,
  protocolErrors.storageError,
  protocolErrors.fencedLeaderEpoch,
  protocolErrors.unknownLeaderEpoch,
  protocolErrors.offsetNotAvailable,
  protocolErrors.unstableOffsetCommit,
]);

export const isRetriableCode = (code: number): boolean => retriableCodes.has(code);

/** The broker's error number inside `error`, if the broker answered with one. */
export const protocolCodeOf = (error: unknown): number | undefined => {
  const { code, type } = innermost(error);
  return typeof type === 'string' && typeof code === 'number' ? code : undefined;
};

const connectionFailures = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSBrokerNotFound',
  'KafkaJSNoBrokerAvailableError',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
  'KafkaJSGroupCoordinatorNotFound',
  'KafkaJSLockTimeout',
  'KafkaJSRequestTimeoutError',
]);

/** What kafkajs throws, as a plain error, when it is asked to use a broker that it could not connect to. */
const neverConnected = 'Broker not connected';

const isTlsCode = (code: unknown): boolean =>
  typeof code === 'string' && /^(ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO|ERR_OSSL)/.test(code);

/** Was the connection the trouble, so that the same request may work on a new one? */
export const isConnectionFailure = (error: unknown): boolean => {
  const { name, code, message } = innermost(error);
  return (connectionFailures.has(name) && !isTlsCode(code)) || message === neverConnected;
};

/** May the same call succeed later without anybody changing a setting? */
export const isTransient = (error: unknown): boolean => {
  if (error instanceof TributaryError) return error.kind === 'transient';
  const code = protocolCodeOf(error);
  return code === undefined ? isConnectionFailure(error) : isRetriableCode(code);
};

const fromProtocol = (code: number, type: string, target: FailedAction): { code: ErrorCode; reason: string } | undefined => {
  switch (code) {
    case protocolErrors.unknownTopicOrPartition:
    case protocolErrors.invalidTopic:
      return target.topic === undefined
        ? undefined
        : { code: 'STREAM_NOT_FOUND', reason: `topic "${target.topic}" does not exist, or this user may not see it` };
    case protocolErrors.topicAuthorizationFailed:
      return { code: 'PERMISSION_MISSING', reason: `this user lacks the permission on topic "${target.topic ?? ''}" (${type})` };
    case protocolErrors.groupAuthorizationFailed:
      return { code: 'PERMISSION_MISSING', reason: 'this user lacks the permission on the consumer group (READ)' };
    case protocolErrors.clusterAuthorizationFailed:
      return { code: 'PERMISSION_MISSING', reason: 'this user lacks the permission on the cluster' };
    case protocolErrors.transactionalIdAuthorizationFailed:
      return { code: 'PERMISSION_MISSING', reason: 'this user lacks WRITE on the transactional ids that start with "tributary."' };
    case protocolErrors.invalidProducerEpoch:
    case protocolErrors.producerFenced:
    case protocolErrors.transactionCoordinatorFenced:
    case protocolErrors.invalidProducerIdMapping:
      return { code: 'FENCED', reason: 'a newer producer with the same transactional id has taken over' };
    case protocolErrors.messageTooLarge:
    case protocolErrors.recordListTooLarge:
      return { code: 'ROW_TOO_LARGE', reason: 'the broker refuses a batch of this size (max.message.bytes)' };
    case protocolErrors.requestTimedOut:
      return { code: 'TIMEOUT', reason: 'the broker ran out of time waiting for replicas' };
    default:
      return undefined;
  }
};

/** Any error thrown by kafkajs or by this package as a TributaryError that says what failed and at which broker or topic. */
export const toTributaryError = (error: unknown, target: FailedAction): TributaryError => {
  if (error instanceof TributaryError) return error;
  const inner = innermost(error);
  const make = (code: ErrorCode, reason: string): TributaryError => new TributaryError(code, `Kafka could not ${target.action}: ${reason}`, { cause: error });

  const where = typeof inner.broker === 'string' ? inner.broker : (target.brokers ?? []).join(', ');
  const protocolCode = protocolCodeOf(error);
  if (protocolCode !== undefined) {
    const known = fromProtocol(protocolCode, String(inner.type), target);
    if (known !== undefined) return make(known.code, known.reason);
    if (inner.type === 'SASL_AUTHENTICATION_FAILED') return make('CREDENTIALS_REJECTED', 'the broker rejected the user name or password');
    if (inner.type === 'ILLEGAL_SASL_STATE')
      return make('CONFIG_INVALID', `the listener at ${where} does not speak SASL; change security_protocol to PLAINTEXT or SSL, or name a SASL listener`);
    if (inner.type === 'UNSUPPORTED_SASL_MECHANISM')
      return make('CREDENTIALS_REJECTED', `the broker does not offer sasl_mechanism ${target.saslMechanism ?? ''}`);
    return make(target.fallback ?? 'SERVICE_UNAVAILABLE', `${inner.message} (${String(inner.type)} ${protocolCode})`);
  }
  if (inner.name === 'KafkaJSSASLAuthenticationError') {
    return make('CREDENTIALS_REJECTED', /not supported by the server/.test(inner.message) ? inner.message : 'the broker rejected the user name or password');
  }
  if (isTlsCode(inner.code) || /before secure TLS connection/.test(inner.message)) {
    return make('TLS_FAILED', `TLS with ${where} failed: ${inner.message.replace(/^Connection error: /, '')}`);
  }
  if (inner.name === 'KafkaJSRequestTimeoutError') return make('TIMEOUT', `broker ${where} did not answer in time`);
  if (inner.name === 'KafkaJSConnectionClosedError') {
    return make('HOST_UNREACHABLE', `broker ${where} closed the connection; check that security_protocol fits this listener`);
  }
  if (connectionFailures.has(inner.name) || inner.message === neverConnected) {
    return make('HOST_UNREACHABLE', `broker ${where} cannot be reached: ${inner.message.replace(/^Connection error: /, '')}`);
  }
  return make(target.fallback ?? 'INTERNAL', inner.message);
};
