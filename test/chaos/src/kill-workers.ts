/** Kills workers while rows flow, then compares source and target row by row. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createTenant, eventually, fieldsOf, startPipeline, type Fields, type Tenant } from '@tributary/e2e/api';
import { testKafka, type TestKafka } from '@tributary/e2e/kafka';
import type { Platform } from '@tributary/devstack/platform';
import { signalProcess } from '@tributary/devstack/process-table';
import { uniqueName } from '@tributary/devstack/testing';
import { connectKafka } from '@tributary/kafka/connection';
import { openProducer } from '@tributary/kafka/producer';
import pg from 'pg';

export interface KillOptions {
  readonly platform: Platform;
  readonly kills: number;
  /** Every so many kills the worker is stopped (SIGSTOP) beyond its lease and woken up again instead: a zombie. 0: never. */
  readonly zombieEvery: number;
  readonly messagesPerSecond: number;
  readonly log: (line: string) => void;
}

export interface Comparison {
  readonly path: string;
  readonly produced: number;
  readonly arrived: number;
  readonly lost: number;
  readonly doubled: number;
  readonly foreign: number;
  readonly balanced: boolean;
}

export interface KillReport {
  readonly kills: number;
  readonly zombies: number;
  /** From the death of a worker until every slot of both pipelines has moved rows again, milliseconds, sorted. */
  readonly recoveries: readonly number[];
  readonly comparisons: readonly Comparison[];
}

const between = (low: number, high: number): number => low + Math.random() * (high - low);

/** Lease 10 s, so a worker asleep for longer has lost its slots to the other. */
const zombieSleepMs = 13_000;

/** Produces numbered messages until stopped; resolves with how many are durable. */
const startProducing = (brokers: string, topic: string, perSecond: number): { readonly stop: () => Promise<number> } => {
  let stopped = false;
  const run = async (): Promise<number> => {
    const client = await connectKafka({ brokers: [brokers], clientId: 'chaos', securityProtocol: 'PLAINTEXT' });
    const producer = await openProducer(client, { idempotent: true });
    let next = 0;
    try {
      while (!stopped) {
        const count = Math.max(1, Math.round(perSecond / 20));
        await producer.send(
          topic,
          Array.from({ length: count }, (_, i) => ({ key: `k${(next + i) % 997}`, value: JSON.stringify({ id: next + i, text: `row ${next + i}` }) })),
        );
        next += count;
        await sleep(50);
      }
    } finally {
      await producer.close();
      await client.close();
    }
    return next;
  };
  const running = run();
  return {
    stop: () => {
      stopped = true;
      return running;
    },
  };
};

const compare = (path: string, produced: number, ids: readonly number[], balanced: boolean): Comparison => {
  const times = new Map<number, number>();
  for (const id of ids) times.set(id, (times.get(id) ?? 0) + 1);
  const isForeign = (id: number): boolean => !Number.isInteger(id) || id < 0 || id >= produced;
  const foreign = [...times.keys()].filter(isForeign).length;
  return {
    path,
    produced,
    arrived: ids.length,
    lost: produced - (times.size - foreign),
    doubled: [...times.values()].filter((n) => n > 1).length,
    foreign,
    balanced,
  };
};

const totals = async (tenant: Tenant, id: string): Promise<{ written: number; balanced: boolean }> => {
  const body = await tenant.api.expectStatus(200, 'GET', `/api/pipelines/${id}/counts`);
  return { written: Number(fieldsOf(body['counts'])['written']), balanced: body['balanced'] === true };
};

const readIds = async (kafka: TestKafka, topic: string): Promise<number[]> =>
  (await kafka.readAll(topic)).map(({ value }) => Number((JSON.parse(value) as Fields)['id']));

const killRandomWorker = async (options: KillOptions, isZombie: boolean): Promise<void> => {
  const names = [...options.platform.services.keys()].filter((name) => name.startsWith('worker'));
  const name = names[Math.floor(Math.random() * names.length)] ?? 'worker-1';
  const worker = options.platform.services.get(name);
  const pid = worker?.pid();
  if (worker === undefined || pid === undefined) return;
  if (isZombie) {
    options.log(`${name}: asleep for ${zombieSleepMs / 1000} s`);
    signalProcess(pid, 'SIGSTOP');
    await sleep(zombieSleepMs);
    signalProcess(pid, 'SIGCONT');
    return;
  }
  options.log(`${name}: SIGKILL`);
  await worker.kill();
  await sleep(between(0, 1500));
  await worker.start();
};

/** Runs Kafka → Kafka (by transactions) and Kafka → PostgreSQL (appended, so that a doubled row shows) under kills. */
export const killWorkers = async (options: KillOptions): Promise<KillReport> => {
  const { platform, log } = options;
  const brokers = new URL(platform.stack.urls.kafka).host;
  const kafka = testKafka(brokers);
  const tenant = await createTenant(platform.gateway, uniqueName('chaos').replaceAll('_', '-'));
  const [from, toTopic, toTable] = [uniqueName('chaos_in'), uniqueName('chaos_out'), uniqueName('chaos_rows')];
  await kafka.createTopic(from, 4);

  const source = (name: string): Fields => ({
    source_name: name,
    source_type: 'KAFKA_SOURCE',
    source_config: { topic: from, bootstrap_servers: brokers, security_protocol: 'PLAINTEXT' },
  });
  const url = new URL(platform.stack.urls.postgres);
  const mapper = [
    { key: 'id', path: '$.id', cast: 'int' },
    { key: 'text', path: '$.text', cast: 'string' },
  ];
  const common = { parallelism: 2, subscription_backfill: true, subscription_mapper_config: mapper };
  const toKafka = await startPipeline(tenant, {
    name: uniqueName('to-kafka'),
    ...source('chaos-source-1'),
    target_name: 'chaos-kafka',
    target_type: 'KAFKA_TARGET',
    target_config: { bootstrap_server: brokers, security_protocol: 'PLAINTEXT' },
    subscription_target_table_name: toTopic,
    ...common,
  });
  const toPostgres = await startPipeline(tenant, {
    name: uniqueName('to-postgres'),
    ...source('chaos-source-2'),
    target_name: 'chaos-postgres',
    target_type: 'POSTGRESQL_TARGET',
    target_config: { host: url.hostname, port: Number(url.port), database: url.pathname.slice(1), user: url.username, password: url.password },
    subscription_target_table_name: toTable,
    ...common,
  });
  const pipelines = [toKafka, toPostgres];

  const producing = startProducing(brokers, from, options.messagesPerSecond);
  const recoveries: number[] = [];
  let zombies = 0;
  for (let kill = 1; kill <= options.kills; kill += 1) {
    await sleep(between(300, 2500));
    const isZombie = options.zombieEvery > 0 && kill % options.zombieEvery === 0;
    if (isZombie) zombies += 1;
    const died = Date.now();
    await killRandomWorker(options, isZombie);
    const before = await Promise.all(pipelines.map((id) => totals(tenant, id)));
    await eventually(
      'rows move again',
      async () => {
        const now = await Promise.all(pipelines.map((id) => totals(tenant, id)));
        return now.every((one, i) => one.written > (before[i]?.written ?? 0)) ? true : null;
      },
      60_000,
    );
    recoveries.push(Date.now() - died);
    log(`kill ${kill} of ${options.kills}: rows move again after ${((Date.now() - died) / 1000).toFixed(1)} s`);
  }

  const produced = await producing.stop();
  log(`${produced} messages produced; waiting for the targets`);
  const done = await Promise.all(
    pipelines.map((id) =>
      eventually(
        `all ${produced} rows are written by ${id}`,
        async () => {
          const now = await totals(tenant, id);
          return now.written >= produced ? now : null;
        },
        120_000,
      ),
    ),
  );

  const postgres = new pg.Client({ connectionString: platform.stack.urls.postgres });
  await postgres.connect();
  const { rows } = await postgres.query<{ id: string; text: string }>(`select id, text from ${toTable}`);
  await postgres.end();
  const wrongText = rows.filter((row) => row.text !== `row ${row.id}`).length;
  if (wrongText > 0) throw new Error(`${wrongText} rows arrived with another text than they were sent with.`);

  return {
    kills: options.kills - zombies,
    zombies,
    recoveries: recoveries.toSorted((a, b) => a - b),
    comparisons: [
      compare('Kafka → Kafka', produced, await readIds(kafka, toTopic), done[0]?.balanced ?? false),
      compare(
        'Kafka → PostgreSQL',
        produced,
        rows.map((row) => Number(row.id)),
        done[1]?.balanced ?? false,
      ),
    ],
  };
};
