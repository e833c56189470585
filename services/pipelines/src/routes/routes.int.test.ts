import { expect, test } from 'vitest';
import { publicEndpoints } from '@tributary/contracts/api/catalogue';
import * as internal from '@tributary/contracts/api/internal';
import { startTestService } from '../service.fixture.ts';
import { allRoutes } from './routes.ts';

const isEndpoint = (value: unknown): value is { id: string; service: string } =>
  typeof value === 'object' && value !== null && 'service' in value && 'replies' in value;

test('every endpoint declared for this service is answered, and no other', async () => {
  const service = await startTestService();
  try {
    const declared = [...publicEndpoints, ...(Object.values(internal) as unknown[]).filter(isEndpoint)]
      .filter((endpoint) => endpoint.service === 'pipelines')
      .map((endpoint) => endpoint.id);
    const answered = allRoutes(service.domain).map((route) => route.endpoint.id);
    expect(answered.toSorted()).toEqual(declared.toSorted());
  } finally {
    await service.stop();
  }
});
