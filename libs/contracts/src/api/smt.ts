/** Trying a transformation on messages, before a pipeline runs it. */
import { z } from 'zod';
import { givenMapperConfig } from '../mapper.ts';
import { defineEndpoint } from './endpoint.ts';

const message = z.record(z.string(), z.unknown());

export const processMapper = defineEndpoint({
  id: 'processMapper',
  method: 'POST',
  path: '/api/smt/process_mapper',
  service: 'pipelines',
  auth: 'user',
  tag: 'transformations',
  summary: 'Process mapper transformation: the rows that the mapper makes of these messages, and the messages it rejects',
  body: z.strictObject({ mapper_config: givenMapperConfig, messages: z.array(message).min(1).max(1000) }),
  replies: {
    200: z.object({
      rows: z.array(message).meta({ description: 'Integers beyond 2^53 are answered as text' }),
      rejected: z.array(z.object({ message: z.number().int().meta({ description: 'Index of the message' }), code: z.string(), reason: z.string() })),
      filtered: z.number().int().meta({ description: 'Messages that give no row' }),
    }),
  },
});

export const smtEndpoints = [processMapper];
