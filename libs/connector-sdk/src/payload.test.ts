import { expect, test } from 'vitest';
import { bytesPayload, cutText, payloadLimit } from './payload.ts';

test('a payload is cut between characters', () => {
  expect(cutText('x'.repeat(payloadLimit))).toHaveLength(payloadLimit);
  const cut = cutText(`x${'ü'.repeat(payloadLimit)}`);
  expect(Buffer.byteLength(cut)).toBe(payloadLimit - 1);
  expect(cut.endsWith('ü')).toBe(true);
});

test('bytes are cut so that what is left decodes', () => {
  expect(bytesPayload(Buffer.from([255, 254]))).toBe('base64://4=');
  const long = Buffer.alloc(payloadLimit, 255);
  const payload = bytesPayload(long);
  expect(payload.length).toBeLessThanOrEqual(payloadLimit);
  const kept = Buffer.from(payload.slice('base64:'.length), 'base64');
  expect(kept.equals(long.subarray(0, kept.length))).toBe(true);
  expect(kept.toString('base64')).toBe(payload.slice('base64:'.length));
});
