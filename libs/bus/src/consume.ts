/** Consumes platform events, at least once and in order per key. What cannot be parsed goes to a dead-letter topic with the reason. */
import { TributaryError, messageOf } from '@tributary/errors/error';
import { envelope, type Envelope, type EventDefinition } from '@tributary/contracts/events/envelope';
import type { KafkaClient } from '@tributary/kafka/connection';
import { consumeGroup } from '@tributary/kafka/group-consumer';
import { openProducer, type OutRecord } from '@tributary/kafka/producer';
import type { Health } from '@tributary/runtime/health';
import type { Logger } from '@tributary/runtime/logger';
import { newTrace, withTrace } from '@tributary/runtime/trace';
import type { z } from 'zod';
import { deadLetterTopic, ensureTopic, topicName } from './topics.ts';

type AnyEvent = EventDefinition<string, z.ZodType>;

export interface Handler {
  readonly definition: AnyEvent;
  /** Must be idempotent: apply an event once by its aggregate and `seq`. Throwing pauses the partition and tries again. */
  readonly handle: (event: Envelope, data: unknown) => Promise<void>;
}

/** Binds a handler to the event it takes, typed from its schema. */
export const on = <Name extends string, Data extends z.ZodType>(
  definition: EventDefinition<Name, Data>,
  handle: (event: Envelope, data: z.output<Data>) => Promise<void>,
): Handler => ({
  definition,
  handle: handle as Handler['handle'],
});

const parse = (text: string, handlers: ReadonlyMap<string, Handler>): { event: Envelope; data: unknown; handler: Handler } => {
  const event = envelope.parse(JSON.parse(text));
  const handler = handlers.get(event.name);
  if (handler === undefined) throw new TributaryError('EVENT_UNREADABLE', `No handler knows the event "${event.name}".`);
  return { event, data: handler.definition.data.parse(event.data), handler };
};

export const consumeEvents = async (options: {
  readonly client: KafkaClient;
  /** The installation's. Topics and group begin with it. */
  readonly namespace: string;
  /** The group is `<namespace>-<group>`. */
  readonly group: string;
  /** As the events define it. */
  readonly topic: string;
  readonly handlers: readonly Handler[];
  readonly log: Logger;
  readonly health: Health;
}): Promise<{ stop: () => Promise<void> }> => {
  const handlers = new Map(options.handlers.map((handler) => [handler.definition.name, handler]));
  const topic = topicName(options.namespace, options.topic);
  const deadLetters = deadLetterTopic(topic);
  for (const one of [topic, deadLetters]) await ensureTopic(options.client, one);
  const sendDeadLetter = async (record: OutRecord): Promise<void> => {
    // Rare, so a connection of its own each time costs nothing, and one that broke long ago does no harm.
    const producer = await openProducer(options.client, { idempotent: true });
    try {
      await producer.send(deadLetters, [record]);
    } finally {
      await producer.close();
    }
  };

  const consumer = await consumeGroup(options.client, {
    groupId: `${options.namespace}-${options.group}`,
    topics: [topic],
    fromBeginning: true,
    onMessage: async (message) => {
      const text = message.value?.toString('utf8') ?? '';
      let parsed: ReturnType<typeof parse>;
      try {
        parsed = parse(text, handlers);
      } catch (error) {
        options.log.error({ topic, offset: String(message.offset), reason: messageOf(error) }, 'An event could not be read; it is in the dead-letter topic');
        await sendDeadLetter({
          key: message.key,
          value: message.value,
          headers: { reason: messageOf(error).slice(0, 2000), topic, partition: String(message.partition), offset: String(message.offset) },
        });
        return;
      }
      await withTrace(newTrace(parsed.event.trace), () => parsed.handler.handle(parsed.event, parsed.data));
    },
  });
  options.health.add(`events ${topic}`, () => (consumer.isStuck(60_000) ? 'an event fails again and again' : null));
  return {
    stop: () => consumer.stop(),
  };
};
