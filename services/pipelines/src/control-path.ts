/** The way to and from the workers over Kafka: commands out of the outboxes, reports into the pipelines. Starts by itself once Kafka answers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { slotReportsTopic } from '@tributary/contracts/events/slot-reports';
import { isKind, messageOf } from '@tributary/errors/error';
import type { KafkaConnectionConfig } from '@tributary/kafka/connection';
import type { Health } from '@tributary/runtime/health';
import type { Logger } from '@tributary/runtime/logger';
import { slotReportHandlers } from './pipelines/slot-reports.ts';
import type { Stores } from './stores.ts';

export interface ControlPath {
  /** A write stored an event: relay it at once. */
  nudge(): void;
  stop(): Promise<void>;
}

interface Options {
  /** The installation's, which topics and group begin with. */
  readonly namespace: string;
  readonly kafka: KafkaConnectionConfig;
  readonly stores: Stores;
  readonly log: Logger;
  readonly health: Health;
  /** It cannot ever start: a setting is wrong. */
  readonly onFatal: (error: unknown) => void;
}

const retryMs = 1000;

type Running = ControlPath;

const open = async ({ namespace, kafka, stores, log, health }: Options): Promise<Running> => {
  // The Kafka client takes a while to load; requests are answered meanwhile.
  const [{ connectKafka }, { openPublisher }, { startRelay }, { consumeEvents }] = await Promise.all([
    import('@tributary/kafka/connection'),
    import('@tributary/bus/publish'),
    import('@tributary/bus/relay'),
    import('@tributary/bus/consume'),
  ]);
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of stops.toReversed()) await one();
  };
  try {
    const client = await connectKafka(kafka);
    stops.push(() => client.close());
    const publisher = await openPublisher(client, namespace);
    stops.push(() => publisher.close());
    const relay = startRelay({ models: [stores.pipelines], publisher, log, health });
    stops.push(() => relay.stop());
    const consumer = await consumeEvents({ client, namespace, group: 'pipelines', topic: slotReportsTopic, handlers: slotReportHandlers(stores), log, health });
    stops.push(() => consumer.stop());
    return { nudge: () => relay.nudge(), stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

export const startControlPath = (options: Options): ControlPath => {
  let running: Running | null = null;
  let trouble: string | null = 'not connected yet';
  const stopping = new AbortController();
  options.health.add('kafka', () => trouble);

  const starting = (async () => {
    while (!stopping.signal.aborted) {
      try {
        running = await open(options);
        trouble = null;
        return;
      } catch (error) {
        if (!isKind(error, 'transient')) {
          options.onFatal(error);
          return;
        }
        trouble = messageOf(error);
        options.log.warn({ err: error }, `Kafka is not ready, trying again: ${trouble}`);
        await sleep(retryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  })();

  return {
    nudge: () => running?.nudge(),
    stop: async () => {
      stopping.abort();
      await starting.catch(() => undefined);
      await running?.stop();
    },
  };
};
