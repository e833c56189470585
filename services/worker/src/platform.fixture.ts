/** Workers as processes of their own, with real servers; the two services they ask are answered here, over HTTP, from fixed records. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPublisher, type Publisher } from '@tributary/bus/publish';
import { topicName } from '@tributary/bus/topics';
import { getConnectionForWorker, getDataKey, getSlotSpec, type SlotSpec } from '@tributary/contracts/api/internal';
import type { EventDefinition } from '@tributary/contracts/events/envelope';
import { pauseRequested, pipelineDeleted, startRequested } from '@tributary/contracts/events/pipeline-commands';
import { slotReportsTopic } from '@tributary/contracts/events/slot-reports';
import { TributaryError } from '@tributary/errors/error';
import { freshDatabase, testServers, uniqueName, type FreshDatabase } from '@tributary/devstack/testing';
import { route } from '@tributary/http/route';
import { createRouteServer, listen } from '@tributary/http/server';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { consumeGroup } from '@tributary/kafka/group-consumer';
import { createTopicIfMissing } from '@tributary/kafka/topics';
import { createHealth } from '@tributary/runtime/health';
import { createLogger } from '@tributary/runtime/logger';
import { createMetrics } from '@tributary/runtime/metrics';
import { openStore, type Connection } from '@tributary/store/connection';
import { outboxEvent } from '@tributary/store/outbox';
import { slotsModel, type Model, type SlotDoc } from '@tributary/store/slots';
import type { z } from 'zod';

const serviceToken = 'a-token-that-only-this-test-knows-0123456789';

export interface Report {
  readonly name: string;
  readonly seq: number;
  readonly data: Record<string, unknown> & { readonly slot_id: string; readonly pipeline_id: string; readonly generation: number; readonly epoch: number };
}

export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly url: string;
  readonly output: () => string;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
}

export interface Platform {
  readonly mongo: FreshDatabase;
  readonly slots: Model<SlotDoc>;
  readonly kafka: KafkaClient;
  readonly redisUrl: string;
  readonly namespace: string;
  readonly reports: Report[];
  readonly specs: Map<string, SlotSpec>;
  readonly connections: Map<string, { slug: string; role: 'source' | 'target'; config: Record<string, unknown> }>;
  startWorker(settings?: Record<string, string>): Promise<WorkerProcess>;
  /** Ends those that a test left running, so that the next one has the slots to itself. */
  endWorkers(): Promise<void>;
  start(pipelineId: string, order: { generation: number; version?: number; subscriptions: { subscription_id: string; slices: number }[] }): Promise<void>;
  pause(pipelineId: string, generation: number): Promise<void>;
  remove(pipelineId: string, generation: number): Promise<void>;
  stop(): Promise<void>;
}

/** Waits for a condition; the message says what did not come true. */
export const until = async <T>(
  what: string,
  look: () => Promise<T | null | false | undefined> | T | null | false | undefined,
  withinMs = 30_000,
): Promise<T> => {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== false && seen !== undefined) return seen;
    if (performance.now() > deadline) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await sleep(50);
  }
};

export const envId = 'env-1';

export const startPlatform = async (): Promise<Platform> => {
  const servers = testServers();
  const mongo = await freshDatabase('mongodb');
  const mongoUri = servers.mongodb;
  const store: Connection = await openStore({ uri: mongoUri, database: mongo.name });
  const redis = new URL(servers.redis);
  redis.pathname = '/7';
  const kafka = await connectKafka({ brokers: [servers.kafkaBrokers], clientId: 'worker-test', securityProtocol: 'PLAINTEXT' });
  const namespace = uniqueName('worker-test').replaceAll('_', '-').toLowerCase().slice(0, 40);
  const reportsTopic = topicName(namespace, slotReportsTopic);
  await createTopicIfMissing(kafka, { topic: reportsTopic });

  const specs: Platform['specs'] = new Map();
  const connections: Platform['connections'] = new Map();
  const log = createLogger({ service: 'test', level: 'error' });
  const app = createRouteServer({
    log,
    health: createHealth(),
    metrics: createMetrics('test'),
    serviceToken,
    identify: async () => {
      throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
    },
    routes: [
      route(getSlotSpec, async ({ params }) => {
        const spec = specs.get(params.subscription_id);
        if (spec === undefined) throw new TributaryError('NOT_FOUND', `There is no subscription ${params.subscription_id}.`);
        return { status: 200, body: spec };
      }),
      route(getConnectionForWorker, async ({ params }) => {
        const connection = connections.get(params.id);
        if (connection === undefined) throw new TributaryError('NOT_FOUND', `There is no connection ${params.id}.`);
        return { status: 200, body: { id: params.id, version: 1, ...connection } };
      }),
      route(getDataKey, async () => ({ status: 200, body: { key: Buffer.alloc(32, 7).toString('base64') } })),
    ],
  });
  const listening = await listen(app, 0, '127.0.0.1');

  const reports: Report[] = [];
  const consumer = await consumeGroup(kafka, {
    groupId: uniqueName('worker-test'),
    topics: [reportsTopic],
    fromBeginning: true,
    onMessage: async ({ value }) => void reports.push(JSON.parse(value?.toString() ?? '') as Report),
  });
  const publisher: Publisher = await openPublisher(kafka, namespace);
  const seqs = new Map<string, number>();
  const configured = new Map<string, { subscription_id: string; slices: number }[]>();
  const command = async <Data extends z.ZodType>(definition: EventDefinition<string, Data>, pipelineId: string, data: z.input<Data>): Promise<void> => {
    const seq = (seqs.get(pipelineId) ?? 0) + 1;
    seqs.set(pipelineId, seq);
    await publisher.publish([outboxEvent(definition, { aggregateId: pipelineId, seq }, data)]);
  };

  const workers: WorkerProcess[] = [];
  const endWorkers = async (): Promise<void> => {
    for (const worker of workers.splice(0)) {
      if (worker.child.exitCode !== null || worker.child.signalCode !== null) continue;
      worker.signal('SIGCONT');
      worker.signal('SIGTERM');
      await worker.ended;
    }
  };
  return {
    mongo,
    slots: slotsModel(store),
    kafka,
    redisUrl: redis.href,
    namespace,
    reports,
    specs,
    connections,
    startWorker: async (settings = {}) => {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
        env: {
          PORT: '0',
          LOG_LEVEL: 'debug',
          MONGO_URI: mongoUri,
          MONGO_DATABASE: mongo.name,
          KAFKA_BROKERS: servers.kafkaBrokers,
          REDIS_URL: redis.href,
          NAMESPACE: namespace,
          SERVICE_TOKEN: serviceToken,
          PIPELINES_URL: `http://127.0.0.1:${listening.port}`,
          CONNECTORS_URL: `http://127.0.0.1:${listening.port}`,
          ...settings,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const worker: WorkerProcess = {
        child,
        url: '',
        output: () => output,
        signal: (signal) => void child.kill(signal),
        ended: new Promise((resolve) => child.once('exit', (code) => resolve(code))),
      };
      workers.push(worker);
      const port = await until(`the worker listens; it said ${output}`, () => /"port":(\d+)/.exec(output)?.[1]);
      return { ...worker, url: `http://127.0.0.1:${port}` };
    },
    start: (pipelineId, order) => {
      configured.set(pipelineId, order.subscriptions);
      return command(startRequested, pipelineId, { pipeline_id: pipelineId, env_id: envId, version: 1, ...order });
    },
    pause: (pipelineId, generation) =>
      command(pauseRequested, pipelineId, {
        pipeline_id: pipelineId,
        env_id: envId,
        generation,
        version: 1,
        subscriptions: configured.get(pipelineId) ?? [],
      }),
    remove: (pipelineId, generation) => command(pipelineDeleted, pipelineId, { pipeline_id: pipelineId, env_id: envId, generation }),
    endWorkers,
    stop: async () => {
      await endWorkers();
      await consumer.stop();
      await publisher.close();
      await listening.close();
      await kafka.close();
      await store.close();
      await mongo.drop();
    },
  };
};
