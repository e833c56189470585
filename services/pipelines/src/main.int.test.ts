import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { topicName } from '@tributary/bus/topics';
import { noCounts } from '@tributary/contracts/ops';
import { pipelineCommandsTopic, startRequested } from '@tributary/contracts/events/pipeline-commands';
import { slotReportsTopic } from '@tributary/contracts/events/slot-reports';
import { testServers, uniqueName } from '@tributary/devstack/testing';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import { consumeGroup } from '@tributary/kafka/group-consumer';
import { openProducer } from '@tributary/kafka/producer';
import { createTopicIfMissing } from '@tributary/kafka/topics';
import { freePort, jwtSecret, serviceToken, startTestService, type TestService } from './service.fixture.ts';

const commandsOnKafka = topicName('tributary', pipelineCommandsTopic);
const reportsOnKafka = topicName('tributary', slotReportsTopic);

let service: TestService;
let kafka: KafkaClient;
beforeAll(async () => {
  service = await startTestService({ connectors: true });
  kafka = await connectKafka({ brokers: [testServers().kafkaBrokers], clientId: 'test', securityProtocol: 'PLAINTEXT' });
});
afterAll(async () => {
  await kafka.close();
  await service.stop();
});

/** The service as it is run: settings in the environment, a process of its own. */
const startMain = async (environment: Record<string, string>) => {
  const began = performance.now();
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], { env: { PATH: '', ...environment }, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
  const listening = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    if (line.includes('is listening')) listening.resolve();
  });
  await Promise.race([listening.promise, exited]);
  return { child, lines, exited, milliseconds: performance.now() - began };
};

const settings = async (): Promise<Record<string, string> & { PORT: string }> => {
  const { host, port, name } = service.stores.users.db;
  return {
    PORT: String(await freePort()),
    MONGO_URI: `mongodb://${host}:${port}`,
    MONGO_DATABASE: name,
    KAFKA_BROKERS: testServers().kafkaBrokers,
    JWT_SECRET: jwtSecret,
    SERVICE_TOKEN: serviceToken,
    CONNECTORS_URL: service.connectorsUrl,
  };
};

const eventually = async <T>(look: () => Promise<T | null>): Promise<T> => {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const found = await look();
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('It did not happen within 20 s.');
};

test('commands reach the workers, their reports reach the pipeline, and it stops cleanly', async () => {
  const environment = await settings();
  const main = await startMain({ ...environment, SUPERUSER_EMAIL: 'operator@example.com', SUPERUSER_PASSWORD: 'the-first-password' });
  expect(main.milliseconds).toBeLessThan(5000);
  const at = `http://127.0.0.1:${environment.PORT}`;
  await eventually(async () => ((await fetch(`${at}/readyz`)).ok ? true : null));

  const owner = await service.tenant();
  const { body } = await service.call('POST', '/api/pipelines/', {
    token: owner.token,
    body: {
      name: uniqueName('p'),
      team_id: owner.teamId,
      source_name: 's',
      source_type: 'KAFKA_SOURCE',
      source_config: { topic: 't', bootstrap_servers: 'b:1' },
      target_name: 't',
      target_type: 'KAFKA_TARGET',
      target_config: { bootstrap_server: 'b:1' },
      subscription_target_table_name: 'events',
    },
  });
  await createTopicIfMissing(kafka, { topic: commandsOnKafka });
  const commands: { name: string; aggregate_id: string; data: unknown }[] = [];
  const consumer = await consumeGroup(kafka, {
    groupId: uniqueName('group'),
    topics: [commandsOnKafka],
    fromBeginning: true,
    onMessage: async (message) => void commands.push(JSON.parse(message.value?.toString() ?? '{}') as never),
  });
  const started = await fetch(`${at}/api/pipelines/${body.id}/start`, { method: 'POST', headers: { authorization: `Bearer ${owner.token}` } });
  expect([started.status, await started.json()]).toEqual([202, 'BUILDING']);
  const command = await eventually(async () => commands.find((one) => one.aggregate_id === body.id) ?? null);
  expect(command.name).toBe(startRequested.name);
  const { generation, subscriptions } = startRequested.data.parse(command.data);

  // The command was lost: nobody will answer. It comes again.
  await service.stores.pipelines.updateOne({ _id: body.id }, { $set: { announced_at: new Date(0) } });
  const again = await eventually(async () => commands.filter((one) => one.aggregate_id === body.id)[1] ?? null);
  expect([again.name, again.data]).toEqual([command.name, command.data]);

  const subscription_id = subscriptions[0]?.subscription_id ?? '';
  const about = { pipeline_id: body.id, subscription_id, slot_id: `${subscription_id}-1-0`, slice: 0, slices: 1, generation, epoch: 1 };
  const producer = await openProducer(kafka, { idempotent: true });
  const event = (name: string, seq: number, data: object): { key: string; value: string } => ({
    key: String(body.id),
    value: JSON.stringify({ id: randomUUID(), name, aggregate_id: about.slot_id, seq, at: new Date().toISOString(), trace: null, data }),
  });
  await producer.send(reportsOnKafka, [
    event('slot.live.v1', 1, about),
    { key: String(body.id), value: 'not an event' },
    event('slot.progress.v1', 2, { ...about, counts: { ...noCounts, read: 3, mapped: 3, emitted: 3, written: 3 }, lag: 0, latency: null, last_event_at: null }),
  ]);
  await producer.close();
  const counts = await eventually(async () => {
    const answer = await service.call('GET', `/api/pipelines/${body.id}/counts`, { token: owner.token });
    return (answer.body['counts'] as { read: number }).read === 3 ? answer.body : null;
  });
  expect(counts).toMatchObject({ balanced: true, slots: [{ state: 'live' }] });
  expect((await service.call('GET', `/api/pipelines/${body.id}`, { token: owner.token })).body['state']).toBe('live');
  expect((await service.stores.pipelines.findOne({ _id: body.id }).lean())?.outbox_pending).toBe(false);

  await fetch(`${at}/api/pipelines/${body.id}`, { method: 'DELETE', headers: { authorization: `Bearer ${owner.token}` } });
  await eventually(async () => ((await service.stores.pipelines.findOne({ _id: body.id }).lean()) === null ? true : null));
  expect(commands.filter((one) => one.aggregate_id === body.id).length).toBeGreaterThan(0);

  await consumer.stop();
  main.child.kill('SIGTERM');
  expect(await main.exited).toEqual([0, null]);
  const log = main.lines.join('\n');
  for (const secret of [jwtSecret, serviceToken, 'the-first-password', owner.token]) expect(log).not.toContain(secret);
});

test('answers while Kafka is away, and says that it is not ready', async () => {
  const environment = await settings();
  const main = await startMain({ ...environment, KAFKA_BROKERS: `127.0.0.1:${await freePort()}` });
  const at = `http://127.0.0.1:${environment.PORT}`;
  expect((await fetch(`${at}/livez`)).status).toBe(200);
  const ready = await fetch(`${at}/readyz`);
  expect([ready.status, await ready.json()]).toMatchObject([503, { checks: { kafka: expect.any(String) } }]);
  expect((await fetch(`${at}/api/users/me`, { headers: { authorization: `Bearer ${(await service.person()).token}` } })).status).toBe(200);
  main.child.kill('SIGTERM');
  expect((await main.exited)[0]).toBe(0);
});

test('a wrong setting is named, and nothing else starts', async () => {
  const environment = await settings();
  const main = await startMain({ ...environment, JWT_SECRET: 'short' });
  expect((await main.exited)[0]).toBe(1);
  expect(main.lines.join('\n')).toContain('JWT_SECRET');
});
