import { afterAll, beforeAll, expect, test } from 'vitest';
import { smtEndpoints } from '@tributary/contracts/api/smt';
import { openToStrangers, startTestService, type TestService } from '../../service.fixture.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());

test('refuses without a token', async () => {
  expect(await openToStrangers(service, smtEndpoints)).toEqual([]);
});

test('shows rows, rejected and filtered messages', async () => {
  const { token } = await service.person();
  const mapper_config = [
    { key: 'id', path: '$.id', cast: 'int', primary_key: true },
    { key: 'tag', path: '$.tags[*].name' },
  ];
  const messages = [
    { id: 1, tags: [{ name: 'a' }, { name: 'b' }] },
    { id: 'no number', tags: [{ name: 'c' }] },
    { id: 3, tags: [] },
  ];
  const { status, body } = await service.call('POST', '/api/smt/process_mapper', { token, body: { mapper_config, messages } });
  expect(status).toBe(200);
  expect(body).toEqual({
    rows: [
      { id: 1, tag: 'a' },
      { id: 1, tag: 'b' },
    ],
    rejected: [{ message: 1, code: 'CAST_FAILED', reason: expect.stringContaining('"id"') }],
    filtered: 1,
  });
});

test('names the column that is wrong', async () => {
  const { token } = await service.person();
  const { status, body } = await service.call('POST', '/api/smt/process_mapper', {
    token,
    body: { mapper_config: [{ key: 'id', path: '$.a[' }], messages: [{}] },
  });
  expect([status, body.detail]).toEqual([422, [expect.objectContaining({ loc: ['body', 'mapper_config'], msg: expect.stringContaining('"id"') })]]);
});
