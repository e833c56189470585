// What a test asks for: the shared servers, names nobody else uses, a database of its own.
import { randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import pg from 'pg';
import { TributaryError } from '@tributary/errors/error';
import type { KafkaSecure } from './kafka-security.ts';

export interface TestServers {
  /** kafka://host:port */
  readonly kafka: string;
  /** host:port, as Kafka clients take it. */
  readonly kafkaBrokers: string;
  readonly redis: string;
  readonly mongodb: string;
  /** A superuser's URL; use `freshDatabase('postgres')` for tables. */
  readonly postgres: string;
}

/** The servers of this test run. They are shared by all files: use names of `uniqueName` for topics, keys and tables. */
export const testServers = (): TestServers => {
  const kafka = required('TEST_KAFKA_URL');
  return {
    kafka,
    kafkaBrokers: new URL(kafka).host,
    redis: required('TEST_REDIS_URL'),
    mongodb: required('TEST_MONGO_URI'),
    postgres: required('TEST_POSTGRES_URL'),
  };
};

/** Kafka's listeners with SASL and TLS; the same broker as `testServers().kafka`. */
export const secureKafka = (): KafkaSecure => JSON.parse(required('TEST_KAFKA_SECURE')) as KafkaSecure;

const required = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) {
    throw new TributaryError(
      'SETTING_INVALID',
      `${name} is not set: the file is not named *.int.test.ts or *.e2e.test.ts, or it is not run with \`npm test -- <path>\` from the root of the clone.`,
    );
  }
  return value;
};

/** `prefix` and random letters: fit for a topic, a table, a database, a group. */
export const uniqueName = (prefix: string): string => `${prefix}_${randomBytes(6).toString('hex')}`;

export interface FreshDatabase {
  readonly name: string;
  /** With the database in it. */
  readonly url: string;
  readonly drop: () => Promise<void>;
}

/** An empty database of its own for one test file. Call `drop` in `afterAll`. */
export const freshDatabase = async (server: 'postgres' | 'mongodb'): Promise<FreshDatabase> => {
  const name = uniqueName('test');
  const url = new URL(testServers()[server]);
  url.pathname = `/${name}`;
  if (server === 'mongodb') return { name, url: url.href, drop: () => dropMongo(url.href) };
  await askPostgres(`create database ${name}`);
  return { name, url: url.href, drop: () => askPostgres(`drop database if exists ${name} with (force)`) };
};

const askPostgres = async (statement: string): Promise<void> => {
  const client = new pg.Client({ connectionString: testServers().postgres });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
};

const dropMongo = async (url: string): Promise<void> => {
  const client = new MongoClient(url);
  try {
    await client.db().dropDatabase();
  } finally {
    await client.close();
  }
};
