/** The worker: takes commands from Kafka, keeps the slots they ask for running, and runs its share of them. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { runSlotJob } from '@tributary/contracts/jobs';
import { pipelineCommandsTopic } from '@tributary/contracts/events/pipeline-commands';
import { consumeEvents } from '@tributary/bus/consume';
import { openPublisher } from '@tributary/bus/publish';
import { startRelay } from '@tributary/bus/relay';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import { messageOf } from '@tributary/errors/error';
import { createApp, listen } from '@tributary/http/server';
import { createServiceClient } from '@tributary/http/service-client';
import { openQueue } from '@tributary/jobs/queue';
import { leaveSilentRedis, openRedis, refuseEviction } from '@tributary/jobs/redis';
import { workJobs } from '@tributary/jobs/work';
import { connectKafka } from '@tributary/kafka/connection';
import { commonSettings, kafkaSettings, mongoSettings, namespaceSettings, readEnv, redisSettings, trustSettings } from '@tributary/runtime/env';
import { createHealth } from '@tributary/runtime/health';
import { runService } from '@tributary/runtime/lifecycle';
import { createLogger } from '@tributary/runtime/logger';
import { Counter, createMetrics, Gauge } from '@tributary/runtime/metrics';
import { openStoreClock } from '@tributary/store/clock';
import { openStore } from '@tributary/store/connection';
import { pipelineOrdersModel } from '@tributary/store/pipeline-orders';
import { slotsModel } from '@tributary/store/slots';
import { forgetDead, rolesModel, workersModel } from '@tributary/store/workers';
import { z } from 'zod';
import { commandHandlers } from './commands.ts';
import { openPipelineLogs } from './logs.ts';
import { openNudges } from './nudges.ts';
import { startRebalance, type Rebalance } from './rebalance.ts';
import { startReconciler, type Reconciler } from './reconciler.ts';
import { createRunner, type Runner } from './runner.ts';
import { tolerate } from './stray-errors.ts';

const log = createLogger({ service: 'worker', level: process.env['LOG_LEVEL'] ?? 'info' });
const stray = tolerate(log);

const mebibyte = 1024 * 1024;

await runService(
  log,
  async (lifecycle) => {
    const settings = readEnv(
      z.object({
        ...commonSettings,
        ...mongoSettings,
        ...kafkaSettings,
        ...redisSettings,
        ...namespaceSettings,
        SERVICE_TOKEN: trustSettings.SERVICE_TOKEN,
        PIPELINES_URL: z.url(),
        CONNECTORS_URL: z.url(),
        /** Slots this process runs at once. */
        WORKER_SLOTS: z.coerce.number().int().min(1).max(1000).default(50),
        /** Data held in memory at once, shared equally by the slots. */
        WORKER_MEMORY_MB: z.coerce.number().int().min(64).default(512),
        CONNECTOR_FILE_ROOT: z.string().optional(),
      }),
    );
    connectorSettings.fileRoot = settings.CONNECTOR_FILE_ROOT ?? null;
    connectorSettings.reservedTopicPrefixes = [...new Set(['tributary.', `${settings.NAMESPACE}.`])];
    const holder = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`;
    const health = createHealth();
    let started = false;
    health.add('start', () => (started ? null : 'starting'));

    let runner: Runner | null = null;
    let rebalance: Rebalance | null = null;
    let reconciler: Reconciler | null = null;

    const metrics = createMetrics('worker');
    const registers = [metrics];
    const gauge = (name: string, help: string, value: () => number): void => {
      void new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    };
    gauge('tributary_wanted_slots', 'Slots that are wanted and can run, in all of the installation', () => rebalance?.wanted() ?? 0);
    gauge('tributary_held_slots', 'Slots this worker runs', () => runner?.held() ?? 0);
    gauge('tributary_worker_slots', 'Slots this worker can run', () => settings.WORKER_SLOTS);
    const rows = new Counter({ name: 'tributary_rows_written_total', help: 'Rows handed to targets and committed', registers });
    const bytes = new Counter({ name: 'tributary_bytes_read_total', help: 'Bytes read from sources and committed', registers });

    const { app, finish } = createApp({ log, health, metrics });
    finish();
    const listening = await listen(app, settings.PORT);
    lifecycle.onStop('server', listening.close);
    log.info({ port: listening.port, worker: holder }, 'The worker is listening');

    const namespace = settings.NAMESPACE;
    const redis = openRedis(settings.REDIS_URL, log);
    const jobsRedis = redis.duplicate();
    const subscriber = redis.duplicate();
    for (const connection of [jobsRedis, subscriber])
      connection.on('error', (error: Error) => log.debug({ reason: error.message }, 'Redis connection trouble'));
    lifecycle.onStop('Redis', async () => {
      for (const connection of [redis, jobsRedis, subscriber]) connection.disconnect();
    });
    const [store, kafka] = await Promise.all([
      openStore({ uri: settings.MONGO_URI, database: settings.MONGO_DATABASE }),
      connectKafka({
        brokers: settings.KAFKA_BROKERS.split(','),
        clientId: 'tributary-worker',
        securityProtocol: settings.KAFKA_SECURITY_PROTOCOL,
        saslMechanism: settings.KAFKA_SASL_MECHANISM,
        saslUsername: settings.KAFKA_SASL_USERNAME,
        saslPassword: settings.KAFKA_SASL_PASSWORD,
        caCert: settings.KAFKA_CA_CERT,
        log: { debug: (message, facts) => log.debug(facts, message), warn: (message, facts) => log.warn(facts, message) },
      }),
      refuseEviction(redis),
    ]);
    lifecycle.onStop('MongoDB', () => store.close());
    lifecycle.onStop('Kafka', () => kafka.close());
    health.add('mongodb', () => (store.readyState === 1 ? null : 'not connected'));
    health.add('redis', () => (redis.status === 'ready' ? null : `connection is ${redis.status}`));

    const stores = {
      orders: pipelineOrdersModel(store),
      slots: slotsModel(store),
      workers: workersModel(store),
      roles: rolesModel(store),
      clock: await openStoreClock(store),
    };
    await Promise.all([stores.orders.createIndexes(), stores.slots.createIndexes(), forgetDead(stores.workers, stores.clock.now())]);

    const logs = openPipelineLogs(redis, namespace, log);
    lifecycle.onStop('pipeline logs', logs.close);
    const publisher = await openPublisher(kafka, namespace);
    lifecycle.onStop('publisher', publisher.close);
    const relay = startRelay({ models: [stores.slots], publisher, log, health });
    lifecycle.onStop('outbox relay', relay.stop);

    const services = {
      pipelines: createServiceClient({ baseUrl: settings.PIPELINES_URL, token: settings.SERVICE_TOKEN, name: 'pipelines' }),
      connectors: createServiceClient({ baseUrl: settings.CONNECTORS_URL, token: settings.SERVICE_TOKEN, name: 'connectors' }),
    };
    const onTrouble = (error: Error): void => log.warn({ reason: messageOf(error) }, 'Trouble with the job queue');
    const lookAgain = (): void => {
      reconciler?.nudge();
      rebalance?.nudge();
      runner?.refresh().catch((error: unknown) => log.warn({ reason: messageOf(error) }, 'Slots could not be looked at'));
    };
    const nudges = await openNudges({ redis, subscriber, namespace, onNudge: lookAgain });
    lifecycle.onStop('nudges', nudges.close);

    const running = createRunner({
      slots: stores.slots,
      clock: stores.clock,
      holder,
      services,
      logs,
      log,
      creditBytes: Math.max(3 * mebibyte, Math.floor((settings.WORKER_MEMORY_MB * mebibyte) / settings.WORKER_SLOTS)),
      onCommitted: (rowCount, byteCount) => {
        rows.inc(rowCount);
        bytes.inc(byteCount);
      },
      onReported: relay.nudge,
      hasRoom: () => rebalance?.hasRoom() ?? true,
      onChange: nudges.send,
    });
    runner = running;
    health.add('leases', running.check);

    const queue = openQueue(runSlotJob, { redis, namespace, onError: onTrouble });
    lifecycle.onStop('job queue', queue.close);
    const jobs = workJobs(runSlotJob, { redis: jobsRedis, namespace, paused: true, handle: running.start, onError: onTrouble });
    reconciler = startReconciler({ ...stores, queue, holder, log, health });
    lifecycle.onStop('reconciler', reconciler.stop);
    rebalance = startRebalance({
      ...stores,
      self: { _id: holder, host: hostname(), pid: process.pid, capacity: settings.WORKER_SLOTS },
      runner: running,
      jobs,
      log,
      health,
    });
    // Slots go back first; only then does this worker leave, and the reconciler hand on its role.
    lifecycle.onStop('heartbeat', rebalance.stop);
    lifecycle.onStop('slots', running.stop);
    lifecycle.onStop('jobs', jobs.close);

    const commands = await consumeEvents({
      client: kafka,
      namespace,
      group: 'worker',
      topic: pipelineCommandsTopic,
      handlers: commandHandlers(stores, nudges.send),
      log,
      health,
    });
    lifecycle.onStop('commands', commands.stop);
    lifecycle.onStop('silent Redis', () => leaveSilentRedis([redis, jobsRedis, subscriber]));
    const clockTimer = setInterval(
      () => void stores.clock.sync().catch((error: unknown) => log.debug({ reason: messageOf(error) }, 'The store could not tell the time')),
      30_000,
    );
    lifecycle.onStop('clock', async () => clearInterval(clockTimer));
    lifecycle.onStop('readiness', async () => health.drain());
    started = true;
    log.info({ worker: holder }, 'The worker is ready');
  },
  { tolerates: stray },
);
