/** Moves events from the outboxes of a service's documents to Kafka. */
import { setTimeout as sleep } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { messageOf } from '@tributary/errors/error';
import { heartbeat, type Health } from '@tributary/runtime/health';
import type { Logger } from '@tributary/runtime/logger';
import { relayOutboxes, type Aggregate } from '@tributary/store/outbox';
import type { Publisher } from './publish.ts';

const pollMs = 250;

export interface Relay {
  /** Looks at once: call after a write that stored an event. */
  nudge(): void;
  stop(): Promise<void>;
}

type RelayModel = Parameters<typeof relayOutboxes<Aggregate>>[0];

/** Runs until stopped. Trouble with MongoDB or Kafka is logged and tried again; readiness tells when it lasts. */
export const startRelay = (options: {
  readonly models: readonly RelayModel[];
  readonly publisher: Publisher;
  readonly log: Logger;
  readonly health: Health;
}): Relay => {
  const owner = randomUUID();
  const beat = heartbeat(60_000);
  options.health.add('outbox', beat.check);
  let wake = Promise.withResolvers<void>();
  const stopped = new AbortController();

  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      wake = Promise.withResolvers<void>();
      try {
        let taken = 0;
        for (const model of options.models) taken += await relayOutboxes(model, { owner, limit: 100 }, options.publisher.publish);
        beat.touch();
        if (taken > 0) continue;
      } catch (error) {
        options.log.warn({ err: error }, `Events could not be relayed, trying again: ${messageOf(error)}`);
        await sleep(1000);
        continue;
      }
      await Promise.race([sleep(pollMs, undefined, { ref: false }), wake.promise]);
    }
  };
  const running = run();
  return {
    nudge: () => wake.resolve(),
    stop: async () => {
      stopped.abort();
      wake.resolve();
      await running;
      // What the last writes of a stopping service announce; what fails here is relayed after the next start.
      for (const model of options.models) {
        await relayOutboxes(model, { owner, limit: 1000 }, options.publisher.publish).catch((error: unknown) =>
          options.log.warn({ err: error }, 'The last events are relayed after the next start'),
        );
      }
    },
  };
};
