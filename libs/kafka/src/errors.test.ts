import { expect, test } from 'vitest';
import { toTributaryError } from './errors.ts';
import { createErrorFromCode } from './kafkajs-internals.ts';

const target = { action: 'write to topic "orders"', topic: 'orders', brokers: ['kafka:9092'], fallback: 'TARGET_FAILED' } as const;

test.each([
  [3, 'STREAM_NOT_FOUND', 'orders'],
  [29, 'PERMISSION_MISSING', 'orders'],
  [47, 'FENCED', 'newer producer'],
  [49, 'FENCED', 'newer producer'],
  [90, 'FENCED', 'newer producer'],
  [53, 'PERMISSION_MISSING', 'transactional'],
  [58, 'CREDENTIALS_REJECTED', 'password'],
  [34, 'CONFIG_INVALID', 'security_protocol'],
  [10, 'ROW_TOO_LARGE', 'max.message.bytes'],
  [7, 'TIMEOUT', 'replicas'],
  [45, 'TARGET_FAILED', 'OUT_OF_ORDER'],
] as const)('broker error %i becomes %s', (code, expected, words) => {
  const error = toTributaryError(createErrorFromCode(code), target);
  expect(error.code).toBe(expected);
  expect(error.message).toContain(words);
});

test("the error behind kafkajs' wrappers decides", () => {
  const wrapped = new Error('retries exceeded', { cause: new Error('again', { cause: createErrorFromCode(90) }) });
  expect(toTributaryError(wrapped, target).code).toBe('FENCED');
});

test('a broker that could not be connected to is out of reach, not a fault of ours', () => {
  expect(toTributaryError(new Error('Broker not connected'), { action: 'be reached', brokers: ['kafka:9092'] })).toMatchObject({
    code: 'HOST_UNREACHABLE',
    message: expect.stringContaining('kafka:9092') as string,
  });
});
