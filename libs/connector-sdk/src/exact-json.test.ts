import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deepestNesting, hasLongNumber, longDecimal, parseExact, parseExactRow, shownExact, stringifyExact } from './exact-json.ts';

test('numbers that a double would change keep their digits', () => {
  expect(parseExactRow('{"id":9007199254740993,"amount":0.12345678901234567890,"n":1.5,"huge":1e400}')).toEqual({
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

test('a double as it is written needs no second look, but hides no long number', () => {
  expect(hasLongNumber('[-118.65990000000001,0.30000000000000004]')).toBe(false);
  for (const long of ['118.659900000000010', '0.12345678901234567891', '9007199254740993', '-118.65990000000001e5', '10000000000000000.1']) {
    for (const text of [`[118.65990000000001,${long}]`, `[${long},118.65990000000001]`, `[0.00000000000000001,118.65990000000001,${long}]`])
      expect(hasLongNumber(text), text).toBe(true);
  }
  const double = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Number.isInteger(value));
  fc.assert(
    fc.property(fc.array(double), (values) => {
      expect(parseExact(JSON.stringify(values))).toStrictEqual(values);
    }),
  );
});

test('bytes are base64 text, whatever holds them', () => {
  expect(
    stringifyExact({ a: new Uint8Array([255, 254]), b: Buffer.from([255, 254]), list: [Buffer.from('x')], n: 2n ** 60n, bad: Number.NaN, nothing: null }),
  ).toBe('{"a":"//4=","b":"//4=","list":["eA=="],"n":1152921504606846976,"bad":"NaN","nothing":null}');
});

/** The same number, told by its digits alone. */
const number = fc
  .tuple(fc.boolean(), fc.bigInt({ min: 0n, max: 10n ** 40n }), fc.option(fc.stringMatching(/^\d{0,30}[1-9]$/)), fc.option(fc.integer({ min: -400, max: 400 })))
  .map(
    ([negative, whole, fraction, exponent]) =>
      `${negative ? '-' : ''}${whole}${fraction === null ? '' : `.${fraction}`}${exponent === null ? '' : `e${exponent}`}`,
  );

test('numbers inside a document stay numbers, with all digits', () => {
  const text = '{"price":0.12345678901234567890,"list":[1e400,9007199254740993,1.5],"text":"0.12345678901234567890"}';
  expect(stringifyExact(parseExact(text))).toBe(text);
  expect(stringifyExact(parseExact('12345678901234567.125'))).toBe('12345678901234567.125');
  expect(stringifyExact(parseExactRow(`{"doc":${text}}`))).toBe(`{"doc":${text}}`);
  expect(stringifyExact({ big: 2n ** 60n, ...(parseExact(text) as object) })).toBe(`{"big":1152921504606846976,${text.slice(1)}`);
  fc.assert(
    fc.property(number, (literal) => {
      const value = parseExact(`[${literal}]`);
      const [item] = value as [unknown];
      if (typeof item !== 'number') expect(stringifyExact(value)).toBe(`[${typeof item === 'bigint' ? BigInt(literal) : literal}]`);
    }),
  );
});

test('a decimal is told from an object that looks like it', () => {
  const [decimal, other] = parseExact('[-1.2345678901234567890e1,{"rawJSON":"1"}]') as [unknown, unknown];
  expect(longDecimal(decimal)).toBe('-12.345678901234567890');
  for (const value of [other, null, 1.5, '1.5', [], undefined]) expect(longDecimal(value)).toBeNull();
});

test('a text without an object is no row', () => {
  expect(parseExactRow('0.12345678901234567890')).toBe('0.12345678901234567890');
  expect(parseExactRow('[0.12345678901234567890]')).toBeInstanceOf(Array);
});

test('digits in strings are not taken for numbers, whatever they look like', () => {
  expect(hasLongNumber('{"id":"4111111111111111","hex":"8e1234","uuid":"5e400123-1111222233334444"}')).toBe(false);
  expect(hasLongNumber('{"id":4111111111111111111}')).toBe(true);
  expect(hasLongNumber('{"id":-4111111111111111111}')).toBe(true);
  expect(hasLongNumber('{"id": 41111111111111111111 }')).toBe(true);
  expect(hasLongNumber('[1,4111111111111111111]')).toBe(true);
  expect(hasLongNumber('4111111111111111111')).toBe(true);
  expect(hasLongNumber('{"x":1e400}')).toBe(true);
  expect(hasLongNumber('-1.5E-400')).toBe(true);
});

test('what is nested deeper than a thousand levels is not read', () => {
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  for (const parse of [parseExact, parseExactRow]) {
    expect(stringifyExact(parse(nested(deepestNesting)))).toBe(nested(deepestNesting));
    expect(stringifyExact(parse(`{"a":12345678901234567890,"j":${nested(deepestNesting - 1)}}`))).toContain('12345678901234567890');
    for (const text of [nested(deepestNesting + 1), `{"id":1,"j":${nested(12_000)}}`, '{"a":'.repeat(2_000) + '1' + '}'.repeat(2_000)]) {
      expect(() => parse(text)).toThrow(new SyntaxError('its values are nested deeper than 1000 levels, which is not read'));
    }
    // Many openers, few levels: in texts, and one beside the other.
    expect(parse(JSON.stringify({ text: `\\"${'['.repeat(5_000)}`, wide: Array.from({ length: 3_000 }, () => [{}]) }))).toHaveProperty('wide.2999', [{}]);
  }
});

test('a value of any depth can be shown', () => {
  let deep: unknown[] = [];
  for (let depth = 0; depth < 100_000; depth++) deep = [deep];
  expect(shownExact(deep)).toBe('(nested too deep to be shown)');
  expect(shownExact([1n])).toBe('[1]');
});
