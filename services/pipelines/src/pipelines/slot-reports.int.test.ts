import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { noCounts } from '@tributary/contracts/ops';
import type { PipelineView } from '@tributary/contracts/api/pipelines';
import { startTestService, type Tenant, type TestService } from '../service.fixture.ts';
import { slotReportHandlers } from './slot-reports.ts';

let service: TestService;
let owner: Tenant;
beforeAll(async () => {
  service = await startTestService({ connectors: true });
  owner = await service.tenant();
});
afterAll(() => service.stop());

const start = async (parallelism = 1): Promise<PipelineView> => {
  const { body } = await service.call('POST', '/api/pipelines/', {
    token: owner.token,
    body: {
      name: `p-${randomUUID()}`,
      team_id: owner.teamId,
      parallelism,
      source_name: 's',
      source_type: 'KAFKA_SOURCE',
      source_config: { topic: 't', bootstrap_servers: 'b:1' },
      target_name: 't',
      target_type: 'KAFKA_TARGET',
      target_config: { bootstrap_server: 'b:1' },
      subscription_target_table_name: 'events',
    },
  });
  await service.call('POST', `/api/pipelines/${body.id}/start`, { token: owner.token });
  return body as unknown as PipelineView;
};

const report = async (
  pipeline: PipelineView,
  name: 'live' | 'stopped' | 'failed' | 'progress',
  given: { slice?: number; seq: number; generation?: number; read?: number },
): Promise<void> => {
  const slice = given.slice ?? 0;
  const slot_id = `${pipeline.subscription_id}-${pipeline.parallelism}-${slice}`;
  const read = given.read ?? 0;
  const data = {
    pipeline_id: pipeline.id,
    subscription_id: pipeline.subscription_id,
    slot_id,
    slice,
    slices: pipeline.parallelism,
    generation: given.generation ?? 1,
    epoch: 1,
    counts: { ...noCounts, read, mapped: read, emitted: read, written: read },
    lag: 10 + slice,
    latency: { p50: 5, p95: 50 + slice, p99: 500 },
    last_event_at: '2026-01-01T00:00:00.000Z',
    code: 'STREAM_NOT_FOUND',
    message: 'Topic "t" is not there.',
    help: 'Create it.',
    retry_at: null,
  };
  const handler = slotReportHandlers(service.stores).find(({ definition }) => definition.name === `slot.${name}.v1`);
  await handler?.handle(
    { id: randomUUID(), name: `slot.${name}.v1`, aggregate_id: slot_id, seq: given.seq, at: new Date().toISOString(), trace: null, data },
    handler.definition.data.parse(data),
  );
};

const state = async (pipeline: PipelineView) => (await service.call('GET', `/api/pipelines/${pipeline.id}`, { token: owner.token })).body;
const counts = async (pipeline: PipelineView) => (await service.call('GET', `/api/pipelines/${pipeline.id}/counts`, { token: owner.token })).body;

test('is live once every slot is, and paused once every slot stopped', async () => {
  const pipeline = await start(2);
  await report(pipeline, 'live', { slice: 0, seq: 1 });
  expect((await state(pipeline))['state']).toBe('building');
  await report(pipeline, 'live', { slice: 1, seq: 1 });
  expect((await state(pipeline))['state']).toBe('live');
  expect((await service.call('POST', `/api/pipelines/${pipeline.id}/start`, { token: owner.token })).body).toBe('LIVE');
  await service.call('POST', `/api/pipelines/${pipeline.id}/pause`, { token: owner.token });
  const inside = async (): Promise<string | undefined> => (await service.stores.pipelines.findOne({ _id: pipeline.id }).lean())?.state;
  for (const slice of [0, 1]) {
    expect(await inside()).toBe('stopping');
    await report(pipeline, 'stopped', { slice, seq: 2, generation: 2, read: 4 });
  }
  expect(await inside()).toBe('paused');
  expect(await counts(pipeline)).toMatchObject({
    counts: { read: 8, written: 8 },
    balanced: true,
    slots: [
      { slice: 0, state: 'stopped' },
      { slice: 1, state: 'stopped' },
    ],
  });
});

test('shows the error of a failed slot, and recovers by itself', async () => {
  const pipeline = await start();
  await report(pipeline, 'failed', { seq: 1 });
  expect(await state(pipeline)).toMatchObject({
    state: 'error',
    error: { code: 'STREAM_NOT_FOUND', message: 'Topic "t" is not there.', help: 'Create it.', retry_at: null },
  });
  await report(pipeline, 'live', { seq: 2 });
  expect(await state(pipeline)).toMatchObject({ state: 'live', error: null });
});

test('reports of an earlier generation change counts only, and each report counts once', async () => {
  const pipeline = await start();
  await report(pipeline, 'progress', { seq: 1, read: 5 });
  await report(pipeline, 'live', { seq: 2 });
  await service.call('PATCH', `/api/pipelines/${pipeline.id}`, { token: owner.token, body: { subscription_target_table_name: 'more' } });
  await report(pipeline, 'stopped', { seq: 3, generation: 1, read: 7 });
  await report(pipeline, 'progress', { seq: 3, read: 100 });
  await report(pipeline, 'progress', { seq: 2, read: 100 });
  expect(await state(pipeline)).toMatchObject({ state: 'live', version: 2 });
  expect(await counts(pipeline)).toMatchObject({ counts: { read: 7 }, slots: [{ state: 'live', lag: 10 }] });
  await report(pipeline, 'failed', { seq: 4, generation: 1 });
  expect((await state(pipeline))['state']).toBe('live');
});

test('progress of many slots beside commands loses nothing', async () => {
  const pipeline = await start(8);
  const slices = Array.from({ length: 8 }, (_, slice) => slice);
  await Promise.all([
    ...slices.map(async (slice) => {
      for (let seq = 1; seq <= 10; seq += 1) await report(pipeline, 'progress', { slice, seq, read: seq });
      await report(pipeline, 'live', { slice, seq: 11 });
    }),
    (async () => {
      for (let i = 0; i < 5; i += 1) await service.call('PATCH', `/api/pipelines/${pipeline.id}`, { token: owner.token, body: { name: `n-${randomUUID()}` } });
    })(),
  ]);
  expect(await state(pipeline)).toMatchObject({ state: 'live', version: 6 });
  expect(await counts(pipeline)).toMatchObject({ counts: { read: 80 }, balanced: true });
  const latency = await service.call('GET', `/api/pipelines/${pipeline.id}/latency-informations`, { token: owner.token });
  expect(latency.body).toMatchObject({
    p50: 5,
    p95: 57,
    p99: 500,
    lag: 108,
    last_event_at: '2026-01-01T00:00:00.000Z',
    subscriptions: [{ subscription_id: pipeline.subscription_id, lag: 108 }],
  });
});

test('reports of a deleted pipeline are dropped', async () => {
  const pipeline = await start();
  await service.call('DELETE', `/api/pipelines/${pipeline.id}`, { token: owner.token });
  for (const [index, name] of (['live', 'progress', 'failed', 'stopped'] as const).entries()) await report(pipeline, name, { seq: index + 1, generation: 2 });
  expect((await service.stores.pipelines.findOne({ _id: pipeline.id }).lean())?.slots).toEqual({});
});
