/**
 * The suite runs on a real broker, by PLAINTEXT. Security is exercised on real listeners of the same broker in libs/kafka
 * (connection.int.test.ts): PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 with and without TLS, TLS with a client certificate, OAUTHBEARER
 * with a given token and with client credentials. Not exercised: GSSAPI beyond its error and the registration of a provider, since
 * there is no Kerberos here; OAUTHBEARER against a broker that checks signatures; brokers other than Apache Kafka.
 */
import { parseExactRow, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Conformance, ErrorRow } from '@tributary/conformance/under-test';
import type { Column, Row, Value } from '@tributary/contracts/types';
import { secureKafka, testServers } from '@tributary/devstack/testing';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { openProducer } from '@tributary/kafka/producer';
import { openReader } from '@tributary/kafka/reader';
import type { FetchedMessage } from '@tributary/kafka/record-batch-reader';
import { createTopicIfMissing, earliestOffsets, latestOffsets, listTopics, topicPartitions } from '@tributary/kafka/topics';

/** All committed records of a topic, in order within each partition; an absent topic has none. */
const recordsIn = async (client: KafkaClient, topic: string): Promise<FetchedMessage[]> => {
  if (!(await listTopics(client)).some(({ name }) => name === topic)) return [];
  const partitions = await topicPartitions(client, topic);
  const offsets = await earliestOffsets(client, topic, partitions);
  // A commit is answered once it is decided: its records become visible a moment later, so the end is not the present last stable offset.
  const ends = await latestOffsets(client, topic, partitions, 'read_uncommitted');
  const reader = await openReader(client, { topic, offsets, isolation: 'read_committed' });
  const records: FetchedMessage[] = [];
  const open = new Set(partitions.filter((partition) => (offsets.get(partition) ?? 0n) < (ends.get(partition) ?? 0n)));
  while (open.size > 0) {
    for (const { partition, messages, nextOffset } of await reader.next()) {
      records.push(...messages);
      if (nextOffset >= (ends.get(partition) ?? 0n)) open.delete(partition);
    }
  }
  await reader.close();
  return records;
};

/** What is left when the last record of each key counts; records without a key all do. */
const folded = (records: readonly FetchedMessage[]): Buffer[] => {
  const last = new Map<string | symbol, Buffer | null>();
  for (const { key, value } of records) last.set(key === null ? Symbol('keyless') : key.toString(), value);
  return [...last.values()].filter((value) => value !== null);
};

/** A value as JSON has it → the value that was written, where the column's type says so. */
const revived = (value: Value, column: Column | undefined): Value => {
  const kind = column?.type?.kind;
  if (typeof value !== 'string') return value;
  if (kind === 'BINARY') return new Uint8Array(Buffer.from(value, 'base64'));
  return kind === 'FLOAT' || kind === 'DOUBLE' ? Number(value) : value;
};

const rowOf = (value: Buffer, columns: readonly Column[]): Row => {
  const types = new Map(columns.map((column) => [column.name, column]));
  const row = parseExactRow(value.toString()) as Row;
  return Object.fromEntries(Object.entries(row).map(([name, one]) => [name, revived(one, types.get(name))]));
};

export const conformance: Conformance = {
  setup: async () => {
    const { kafkaBrokers } = testServers();
    const { saslPlaintext, username, ssl } = secureKafka();
    const client = await connectKafka({ brokers: [kafkaBrokers], clientId: 'conformance', securityProtocol: 'PLAINTEXT' });
    const write = async (topic: string, rows: readonly Row[]): Promise<void> => {
      const producer = await openProducer(client, { idempotent: true });
      await producer.send(
        topic,
        rows.map((row) => ({ key: stringifyExact(row['id']), value: stringifyExact(row) })),
      );
      await producer.close();
    };
    const wrongPassword = { security_protocol: 'SASL_PLAINTEXT', sasl_mechanism: 'SCRAM-SHA-512', sasl_username: username, sasl_password: 'wrong' };
    return {
      target: {
        config: { bootstrap_server: kafkaBrokers },
        broken: [
          { why: 'a port nobody listens on', config: { bootstrap_server: '127.0.0.1:1' }, step: 'Connect', says: '127.0.0.1:1' },
          { why: 'no port', config: { bootstrap_server: 'kafka' }, step: 'Connect', says: 'host:port' },
          { why: 'a wrong password', config: { bootstrap_server: saslPlaintext, ...wrongPassword }, step: 'Connect', says: 'password' },
          { why: 'TLS without its authority', config: { bootstrap_server: ssl, security_protocol: 'SSL' }, step: 'Connect', says: ssl },
        ],
        supports: ['upsert', 'delete', 'binary', 'odd-names', 'undeclared'],
        readBack: async (table, columns) => folded(await recordsIn(client, table)).map((value) => rowOf(value, columns)),
        readErrors: async (errorTable) => (await recordsIn(client, errorTable)).map(({ value }) => JSON.parse(String(value)) as ErrorRow),
      },
      source: {
        broken: [
          { why: 'a port nobody listens on', config: { topic: 't', bootstrap_servers: '127.0.0.1:1' }, step: 'Connect', says: '127.0.0.1:1' },
          {
            why: 'a topic that is not there',
            config: { topic: 'conformance_nowhere', bootstrap_servers: kafkaBrokers },
            step: 'Topic',
            says: 'conformance_nowhere',
          },
          { why: 'a wrong password', config: { topic: 't', bootstrap_servers: saslPlaintext, ...wrongPassword }, step: 'Connect', says: 'password' },
        ],
        // One partition: the suite expects the order of the rows, which Kafka keeps within a partition only.
        seed: async (stream, rows) => {
          await createTopicIfMissing(client, { topic: stream, partitions: 1 });
          await write(stream, rows);
          return { config: { topic: stream, bootstrap_servers: kafkaBrokers }, stream };
        },
        append: write,
      },
      close: () => client.close(),
    };
  },
};
