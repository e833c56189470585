import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasLongNumber, parseExact, stringifyExact } from './exact-json.ts';

test('numbers that a double would change keep their digits', () => {
  expect(parseExact('{"id":9007199254740993,"amount":0.12345678901234567890,"n":1.5,"huge":1e400}')).toEqual({
    id: 9_007_199_254_740_993n,
    amount: '0.12345678901234567890',
    n: 1.5,
    huge: `1${'0'.repeat(400)}`,
  });
});

test('a long number is noticed wherever it begins', () => {
  fc.assert(
    fc.property(fc.nat(40), fc.integer({ min: 16, max: 40 }), fc.nat(20), (before, digits, after) =>
      hasLongNumber(`${' '.repeat(before)}1${'2'.repeat(digits - 1)}${','.repeat(after)}`),
    ),
  );
  expect(hasLongNumber('{"at":1760000000000123,"x":1}')).toBe(true);
  expect(hasLongNumber('{"at":176000000000012,"x":1,"y":0.25}')).toBe(false);
});

test('bytes are base64 text, whatever holds them', () => {
  expect(
    stringifyExact({ a: new Uint8Array([255, 254]), b: Buffer.from([255, 254]), list: [Buffer.from('x')], n: 2n ** 60n, bad: Number.NaN, nothing: null }),
  ).toBe('{"a":"//4=","b":"//4=","list":["eA=="],"n":1152921504606846976,"bad":"NaN","nothing":null}');
});
