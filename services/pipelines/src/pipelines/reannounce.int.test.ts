import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PipelineDoc } from '@tributary/store/pipelines';
import { startTestService, type Tenant, type TestService } from '../service.fixture.ts';
import { reannounce } from './reannounce.ts';

let service: TestService;
let owner: Tenant;
beforeAll(async () => {
  service = await startTestService({ connectors: true });
  owner = await service.tenant();
});
afterAll(() => service.stop());

const started = async (): Promise<string> => {
  const { body } = await service.call('POST', '/api/pipelines/', {
    token: owner.token,
    body: {
      name: `p-${randomUUID()}`,
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
  await ask(String(body.id), 'start');
  return String(body.id);
};
const ask = (id: string, what: 'start' | 'pause') => service.call('POST', `/api/pipelines/${id}/${what}`, { token: owner.token });
const docOf = async (id: string): Promise<PipelineDoc> => {
  const doc = await service.stores.pipelines.findOne({ _id: id }).lean<PipelineDoc>();
  if (doc === null) throw new Error('gone');
  return doc;
};
/** Its events have left; whether they arrived is another matter. */
const delivered = (id: string, more: object = {}) => service.stores.pipelines.updateOne({ _id: id }, { $set: { outbox: [], outbox_pending: false, ...more } });
const longAgo = { announced_at: new Date(Date.now() - 16_000) };

test('an order that nobody answered is announced again, once in a while', async () => {
  const id = await started();
  const [first] = (await docOf(id)).outbox;
  await delivered(id);
  expect(await reannounce(service.stores)).toBe(0);
  await delivered(id, longAgo);
  expect(await Promise.all([reannounce(service.stores), reannounce(service.stores)])).toEqual(expect.arrayContaining([1, 0]));
  const { outbox, generation, seq, state } = await docOf(id);
  expect(outbox).toHaveLength(1);
  expect(outbox[0]).toMatchObject({ name: first?.name, topic: first?.topic, key: first?.key, data: first?.data, seq });
  expect(outbox[0]?.id).not.toBe(first?.id);
  expect([generation, state]).toEqual([1, 'building']);
  await delivered(id);
  expect(await reannounce(service.stores)).toBe(0);

  await ask(id, 'pause');
  await delivered(id, longAgo);
  expect(await reannounce(service.stores)).toBe(1);
  expect((await docOf(id)).outbox).toMatchObject([{ name: 'pipeline.pause-requested.v2', data: { generation: 2 } }]);
  await delivered(id);
});

test('one that has not left yet is not piled up, and pipelines that wait for nothing are left alone', async () => {
  const id = await started();
  await service.stores.pipelines.updateOne({ _id: id }, { $set: longAgo });
  expect(await reannounce(service.stores)).toBe(0);
  for (const state of ['live', 'error', 'paused', 'draft']) {
    await delivered(id, { ...longAgo, state });
    expect(await reannounce(service.stores)).toBe(0);
  }
  await delivered(id, { ...longAgo, state: 'building', deleted: true });
  expect(await reannounce(service.stores)).toBe(0);
});

test('a pipeline from before orders had a time is swept too, and the sweep uses its index', async () => {
  const id = await started();
  await delivered(id);
  await service.stores.pipelines.updateOne({ _id: id }, { $unset: { announced_at: '' } });
  expect(await reannounce(service.stores)).toBe(1);
  const indexes = Object.values((await service.stores.pipelines.collection.indexes()).map(({ key }) => key));
  expect(indexes).toContainEqual({ state: 1, announced_at: 1 });
});

test('asked to start again while it is being built, it is announced at once', async () => {
  const id = await started();
  expect((await ask(id, 'start')).body).toBe('BUILDING');
  expect((await docOf(id)).outbox).toHaveLength(1);
  await delivered(id);
  expect((await ask(id, 'start')).body).toBe('BUILDING');
  expect((await docOf(id)).outbox).toMatchObject([{ name: 'pipeline.start-requested.v1', data: { generation: 1, version: 1 } }]);
});
