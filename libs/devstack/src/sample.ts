// The sample of `npm start`: earthquakes of one week (USGS, from the vega-datasets package), published to a Kafka topic and moved
// by a pipeline, through a nested mapper, into a PostgreSQL table. It uses the public API only, as a user would.
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { MapperConfig } from '@tributary/contracts/mapper';
import { TributaryError } from '@tributary/errors/error';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { openProducer } from '@tributary/kafka/producer';
import { openReader } from '@tributary/kafka/reader';
import { createTopicIfMissing, earliestOffsets, latestOffsets, topicPartitions } from '@tributary/kafka/topics';

export const demoEmail = 'demo@tributary.local';

const topic = 'earthquakes';

const mapper: MapperConfig = [
  { key: 'id', path: '$.id', cast: 'string', primary_key: true, nullable: false },
  { key: 'occurred_at', path: '$.properties.time', cast: 'datetime', nullable: false },
  { key: 'day', path: '$.properties.time', cast: 'date' },
  { key: 'updated_at', path: '$.properties.updated', cast: 'datetime' },
  { key: 'place', path: '$.properties.place', cast: 'string' },
  { key: 'magnitude', path: '$.properties.mag', cast: 'float' },
  { key: 'magnitude_type', path: '$.properties.magType', cast: 'string' },
  { key: 'longitude', path: '$.geometry.coordinates[0]', cast: 'float' },
  { key: 'latitude', path: '$.geometry.coordinates[1]', cast: 'float' },
  { key: 'depth_km', path: '$.geometry.coordinates[2]', cast: 'float' },
  { key: 'significance', path: '$.properties.sig', cast: 'int' },
  { key: 'felt_reports', path: '$.properties.felt', cast: 'int' },
  { key: 'tsunami', path: '$.properties.tsunami', cast: 'bool' },
];

/**
 * Publishes the earthquakes unless the topic holds records, keyed by their id, in one transaction: all or none.
 * Answers how many records the topic holds.
 */
export const publishEarthquakes = async (kafkaUrl: string): Promise<number> => {
  const file = fileURLToPath(new URL('../data/earthquakes.json', import.meta.resolve('vega-datasets')));
  const { features } = JSON.parse(await readFile(file, 'utf8')) as { features: { id: string }[] };
  const client = await connectKafka({ brokers: [new URL(kafkaUrl).host], clientId: 'tributary-sample', securityProtocol: 'PLAINTEXT' });
  try {
    await createTopicIfMissing(client, { topic, partitions: 4 });
    const producer = await openProducer(client, { idempotent: true, transactionalId: 'tributary-sample' });
    try {
      // Settles a publication that was interrupted, or committed a moment ago and not visible yet, before the topic is looked at.
      await producer.init();
      const held = await countRecords(client);
      if (held > 0) return held;
      producer.begin();
      await producer.send(
        topic,
        features.map((feature) => ({ key: Buffer.from(feature.id), value: Buffer.from(JSON.stringify(feature)) })),
      );
      await producer.commit();
    } finally {
      await producer.close();
    }
    return features.length;
  } finally {
    await client.close();
  }
};

/** Committed records in the topic. Offsets alone do not tell: they count aborted records and transaction markers as well. */
const countRecords = async (client: KafkaClient): Promise<number> => {
  const offsets = await earliestOffsets(client, topic, await topicPartitions(client, topic));
  const ends = await latestOffsets(client, topic, [...offsets.keys()]);
  const unread = new Set([...offsets].filter(([partition, first]) => first < (ends.get(partition) ?? 0n)).map(([partition]) => partition));
  if (unread.size === 0) return 0;
  const reader = await openReader(client, { topic, offsets, isolation: 'read_committed', maxWaitMs: 100 });
  try {
    let records = 0;
    while (unread.size > 0) {
      for (const batch of await reader.next()) {
        records += batch.messages.length;
        if (batch.nextOffset >= (ends.get(batch.partition) ?? 0n)) unread.delete(batch.partition);
      }
    }
    return records;
  } finally {
    await reader.close();
  }
};

export interface SampleOptions {
  readonly gateway: string;
  readonly password: string;
  readonly kafkaUrl: string;
  readonly postgresUrl: string;
  /** Names the table, and the pipeline that fills it. */
  readonly table: string;
  /** Namespace and MongoDB database of this installation. */
  readonly namespace: string;
  readonly mongoDatabase: string;
  /** Messages in the topic. */
  readonly messages: number;
  /** Called when the first row is in the table; `isNew` is false when it was there before. */
  readonly onFirstRow: (isNew: boolean) => void;
  readonly signal: AbortSignal;
}

export interface SampleCounts {
  readonly read: number;
  readonly written: number;
  readonly filtered: number;
  readonly rejected: number;
  /** Rows in the table, counted there. */
  readonly rows: number;
}

/** Makes what is missing, starts the pipeline and waits until every message is accounted for. */
export const runSample = async (options: SampleOptions): Promise<SampleCounts> => {
  const api = await logIn(options);
  const env = await findOrCreate(api, '/api/envs', 'sample', { name: 'sample', description: 'Made by npm start' });
  if (api.user.active_env_id !== env.id) await api.call('PATCH', `/api/users/${api.user.id}`, { active_env_id: env.id });
  const team = await findOrCreate(api, '/api/teams', 'sample', { name: 'sample', description: 'Made by npm start' });
  const pipeline = await pipelineOf(api, team.id, options);
  if (pipeline.state !== 'live') await api.call('POST', `/api/pipelines/${pipeline.id}/start`);
  return waitForRows(api, pipeline.id, options);
};

interface Api {
  readonly user: { readonly id: string; readonly active_env_id: string | null };
  /** The parsed body; undefined for 404 when `orMissing` is set. Throws for every other failure, with what the API said. */
  readonly call: <T>(method: string, path: string, body?: unknown, orMissing?: boolean) => Promise<T>;
}

const logIn = async ({ gateway, password, namespace, mongoDatabase, signal }: SampleOptions): Promise<Api> => {
  const credentials = new URLSearchParams({ username: demoEmail, password });
  const enter = () => request<{ access_token: string }>(gateway, 'POST', '/api/auth/jwt/login', { body: credentials, signal, allow: [400, 401] });
  let session = await enter();
  if (session === undefined) {
    const account = { email: demoEmail, password, is_active: true };
    await request(gateway, 'POST', '/api/auth/register', { body: JSON.stringify(account), signal, allow: [400] });
    session = await enter();
  }
  if (session === undefined) {
    throw new TributaryError(
      'CREDENTIALS_REJECTED',
      `The demo user ${demoEmail} exists in the MongoDB database "${mongoDatabase}" with another password than the one in .local/secrets.json: another installation uses the namespace "${namespace}" on these servers. Give NAMESPACE a name of its own, or delete that user.`,
    );
  }
  const token = session.access_token;
  const call: Api['call'] = async <T>(method: string, path: string, body?: unknown, orMissing = false) =>
    (await request<T>(gateway, method, path, {
      body: body === undefined ? undefined : JSON.stringify(body),
      token,
      signal,
      allow: orMissing ? [404] : [],
    })) as T;
  return { call, user: await call('GET', '/api/users/me') };
};

interface RequestOptions {
  readonly body?: string | URLSearchParams | undefined;
  readonly token?: string;
  readonly signal: AbortSignal;
  /** Statuses answered as undefined. */
  readonly allow: readonly number[];
}

const request = async <T>(gateway: string, method: string, path: string, { body, token, signal, allow }: RequestOptions): Promise<T | undefined> => {
  const headers: Record<string, string> = {};
  if (typeof body === 'string') headers['content-type'] = 'application/json';
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  const response = await fetch(`${gateway}${path}`, { method, headers, body, signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]) });
  const text = await response.text();
  if (allow.includes(response.status)) return undefined;
  if (!response.ok) throw new TributaryError('SERVICE_UNAVAILABLE', `${method} ${path} answered ${response.status}: ${text.slice(0, 500)}`);
  return (text === '' ? undefined : JSON.parse(text)) as T | undefined;
};

const findOrCreate = async (api: Api, path: string, wanted: string, body: object): Promise<{ id: string }> =>
  (await api.call<{ id: string } | undefined>('GET', `${path}/filter-one?name=${wanted}`, undefined, true)) ?? api.call('POST', `${path}/`, body);

interface Pipeline {
  readonly id: string;
  readonly state: string;
  readonly source_config: Readonly<Record<string, unknown>> | null;
  readonly target_config: Readonly<Record<string, unknown>> | null;
  readonly error: { readonly message: string; readonly help: string } | null;
}

const pipelineOf = async (api: Api, teamId: string, { kafkaUrl, postgresUrl, table }: SampleOptions): Promise<Pipeline> => {
  const postgres = new URL(postgresUrl);
  const source = { topic, bootstrap_servers: new URL(kafkaUrl).host, security_protocol: 'PLAINTEXT' };
  const target = {
    host: postgres.hostname,
    port: Number(postgres.port || 5432),
    database: decodeURIComponent(postgres.pathname.slice(1)),
    user: decodeURIComponent(postgres.username),
    password: decodeURIComponent(postgres.password),
  };
  const found = await api.call<Pipeline | undefined>('GET', `/api/pipelines/filter-one?name=${table}&team_id=${teamId}`, undefined, true);
  if (found === undefined) {
    return api.call('POST', '/api/pipelines/', {
      name: table,
      team_id: teamId,
      source_name: 'earthquakes-topic',
      source_type: 'KAFKA_SOURCE',
      source_config: source,
      target_name: 'earthquakes-database',
      target_type: 'POSTGRESQL_TARGET',
      target_config: target,
      subscription_target_table_name: table,
      subscription_backfill: true,
      subscription_mapper_config: mapper,
    });
  }
  // A server that had to take another port this time, or another one from the environment.
  const moved =
    found.source_config?.['bootstrap_servers'] !== source.bootstrap_servers ||
    found.target_config?.['host'] !== target.host ||
    Number(found.target_config?.['port']) !== target.port;
  return moved ? api.call('PATCH', `/api/pipelines/${found.id}`, { source_config: source, target_config: target }) : found;
};

interface CountsAnswer {
  readonly counts: { readonly read: number; readonly filtered: number; readonly rejected: number; readonly written: number; readonly refused: number };
}

const waitMs = 120_000;

const waitForRows = async (api: Api, pipelineId: string, { postgresUrl, table, messages, onFirstRow, signal }: SampleOptions): Promise<SampleCounts> => {
  const database = new pg.Client({ connectionString: postgresUrl });
  await database.connect();
  try {
    let announced = false;
    let looks = 0;
    const deadline = Date.now() + waitMs;
    for (;;) {
      const rows = await countRows(database, table);
      if (rows > 0 && !announced) {
        announced = true;
        onFirstRow(looks > 0);
      }
      // While rows are still on their way the API is left alone.
      if (rows > 0 || Date.now() > deadline) {
        const { counts } = await api.call<CountsAnswer>('GET', `/api/pipelines/${pipelineId}/counts`);
        const { read, filtered, written } = counts;
        const rejected = counts.rejected + counts.refused;
        if (read >= messages && read === written + filtered + rejected) return { read, written, filtered, rejected, rows };
      }
      if (Date.now() > deadline) {
        const { state, error } = await api.call<Pipeline>('GET', `/api/pipelines/${pipelineId}`);
        const reason = error === null ? '' : `: ${error.message} ${error.help}`;
        throw new TributaryError(
          'NO_PROGRESS',
          `Of ${messages} messages of the sample ${rows} rows are in the table after ${waitMs / 1000} s; the pipeline "${table}" is ${state}${reason}. See .local/logs/worker.log`,
        );
      }
      looks += 1;
      await delay(rows > 0 ? 250 : 50, undefined, { signal });
    }
  } finally {
    await database.end();
  }
};

const countRows = async (database: pg.Client, table: string): Promise<number> => {
  const { rows } = await database.query<{ there: boolean }>('select to_regclass($1) is not null as there', [table]);
  if (rows[0]?.there !== true) return 0;
  const counted = await database.query<{ rows: string }>(`select count(*) as rows from ${table}`);
  return Number(counted.rows[0]?.rows ?? 0);
};
