/**
 * The coordinator's side of a transactional producer: its id and epoch, which partitions take part, and the end.
 * https://cwiki.apache.org/confluence/display/KAFKA/KIP-98
 */
import { isConnectionFailure, isTransient, protocolCodeOf, protocolErrors, type FailedAction, toTributaryError } from './errors.ts';
import { coordinatorTypes, dropConnections, type Broker, type Cluster } from './kafkajs-internals.ts';
import { backoffMs, retrying } from './retry.ts';

export interface ProducerIdentity {
  readonly producerId: string;
  readonly producerEpoch: number;
}

interface TransactionCoordinator {
  /**
   * A new epoch for the transactional id. The coordinator first aborts what an older producer left open and finishes
   * what it was committing: when this returns, no older producer can write any more and every transaction is decided.
   */
  initialise(): Promise<ProducerIdentity>;
  addPartitions(identity: ProducerIdentity, topics: readonly { topic: string; partitions: number[] }[]): Promise<void>;
  end(identity: ProducerIdentity, commit: boolean): Promise<void>;
}

const lostCoordinator: ReadonlySet<number | undefined> = new Set([protocolErrors.notCoordinator, protocolErrors.coordinatorNotAvailable]);

export const transactionCoordinator = (
  cluster: Cluster,
  options: { readonly transactionalId: string; readonly timeoutMs: number; readonly retryForMs: number; readonly brokers: readonly string[] },
): TransactionCoordinator => {
  const { transactionalId } = options;
  let known: Broker | null = null;

  const coordinator = async (): Promise<Broker> => {
    known ??= await cluster.findGroupCoordinator({ groupId: transactionalId, coordinatorType: coordinatorTypes.transaction });
    return known;
  };

  const asking = async <T>(action: string, ask: (broker: Broker) => Promise<T>): Promise<T> => {
    const failed: FailedAction = { action, brokers: options.brokers, fallback: 'TARGET_FAILED' };
    try {
      return await retrying(
        async () => {
          const broker = await coordinator();
          try {
            return await ask(broker);
          } catch (error) {
            if (isConnectionFailure(error) || lostCoordinator.has(protocolCodeOf(error))) {
              known = null;
              if (isConnectionFailure(error)) await dropConnections(broker);
            }
            throw error;
          }
        },
        {
          forMs: options.retryForMs,
          retriable: isTransient,
          // The markers of the transaction before are written within milliseconds.
          pauseMs: (attempt, error) => (protocolCodeOf(error) === protocolErrors.concurrentTransactions ? Math.min(5 * attempt, 100) : backoffMs(attempt)),
          between: async () => {
            if (known === null) await cluster.refreshMetadata();
          },
        },
      );
    } catch (error) {
      throw toTributaryError(error, failed);
    }
  };

  return {
    initialise: () =>
      asking(`initialise the producer "${transactionalId}"`, (broker) => broker.initProducerId({ transactionalId, transactionTimeout: options.timeoutMs })),
    addPartitions: async (identity, topics) => {
      await asking(`add partitions to the transaction of "${transactionalId}"`, (broker) =>
        broker.addPartitionsToTxn({ transactionalId, ...identity, topics: [...topics] }),
      );
    },
    end: async (identity, commit) => {
      await asking(`${commit ? 'commit' : 'abort'} the transaction of "${transactionalId}"`, (broker) =>
        broker.endTxn({ transactionalId, ...identity, transactionResult: commit }),
      );
    },
  };
};
