/**
 * kafkajs as it is: consume, map six fields, produce, as its documentation shows it. Arguments: brokers, source topic,
 * target topic, messages. Says `ready` when it was given partitions and `done` when all is written and its offsets are committed.
 *
 * A program of its own beside the platform, which reaches Kafka through libs/kafka only; it takes the version pinned there.
 */
import { createRequire } from 'node:module';

const { Kafka, Partitioners, logLevel } = createRequire(new URL('../../../../libs/kafka/package.json', import.meta.url))('kafkajs');

const [brokers, source, target, messages] = process.argv.slice(2);
const expected = Number(messages);

const map = (value) => {
  const from = JSON.parse(value);
  return JSON.stringify({ id: from.id, userId: from.user_id, event: from.event_type, at: from.ts, country: from.props.country, variant: from.props.ab.variant });
};

const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'bench', logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false });
const consumer = kafka.consumer({ groupId: `kafkajs-${process.pid}-${Date.now()}`, maxWaitTimeInMs: 100, maxBytesPerPartition: 1024 * 1024, maxBytes: 16 * 1024 * 1024 });

await Promise.all([producer.connect(), consumer.connect()]);
await consumer.subscribe({ topic: source, fromBeginning: true });
consumer.on(consumer.events.GROUP_JOIN, () => process.stdout.write('ready\n'));

let copied = 0;
await consumer.run({
  partitionsConsumedConcurrently: 4,
  autoCommitInterval: 1000,
  eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary, uncommittedOffsets }) => {
    await producer.send({ topic: target, acks: -1, messages: batch.messages.map(({ key, value }) => ({ key, value: map(value) })) });
    resolveOffset(batch.lastOffset());
    copied += batch.messages.length;
    if (copied < expected) return;
    await commitOffsetsIfNecessary(uncommittedOffsets());
    process.stdout.write('done\n');
  },
});
