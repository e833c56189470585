import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseExact, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Value } from '@tributary/contracts/types';
import { compileCast, type CastName } from './cast.ts';

/** A number as it is inside a JSON document. */
const inJson = (literal: string): NonNullable<Value> => parseExact(literal) ?? '';

/** What no value can be cast to. */
const no = undefined;

const tables: Readonly<Record<CastName, readonly (readonly [NonNullable<Value>, Value | undefined])[]>> = {
  string: [
    ['', ''],
    ['a', 'a'],
    [1, '1'],
    [-0.5, '-0.5'],
    [1e21, '1000000000000000000000'],
    [1e-7, '1e-7'],
    [12345678901234567890n, '12345678901234567890'],
    [true, 'true'],
    [{ a: [1, 2n, null], b: 9007199254740993n }, '{"a":[1,2,null],"b":9007199254740993}'],
    [[], '[]'],
    [inJson('1.2345678901234567890e2'), '123.45678901234567890'],
    [{ a: [inJson('0.12345678901234567890')], b: Uint8Array.of(0xff) }, '{"a":[0.12345678901234567890],"b":"/w=="}'],
    [Buffer.from('grün'), 'grün'],
    [Uint8Array.of(0xff, 0xfe), no],
  ],
  int: [
    [7, 7],
    [-0, 0],
    [3.7, no],
    [3.0, 3],
    [2 ** 53, 9007199254740992n],
    [1e20, no],
    [Number.NaN, no],
    [Infinity, no],
    ['42', 42],
    [' -42 ', -42],
    ['+42', 42],
    ['12.0', 12],
    ['12.', 12],
    ['12.5', no],
    ['007', 7],
    ['9007199254740993', 9007199254740993n],
    ['+9223372036854775807', 9223372036854775807n],
    ['9223372036854775808', no],
    ['-9223372036854775808', -9223372036854775808n],
    ['-9223372036854775809', no],
    ['0'.repeat(20) + '5', 5],
    ['1e3', no],
    ['0x10', no],
    ['1_000', no],
    ['', no],
    ['strong', no],
    [5n, 5],
    [9007199254740993n, 9007199254740993n],
    [2n ** 63n, no],
    [inJson('9007199254740993.0'), 9007199254740993n],
    [inJson('0.12345678901234567890'), no],
    [true, 1],
    [false, 0],
    [{}, no],
    [[1], no],
    [Uint8Array.of(1), no],
  ],
  float: [
    [1.5, 1.5],
    ['1.5', 1.5],
    [' -1.5e3 ', -1500],
    ['.5', 0.5],
    ['5.', 5],
    ['1e999', no],
    ['NaN', Number.NaN],
    ['-inf', -Infinity],
    ['Infinity', Infinity],
    ['0x10', no],
    ['', no],
    [' ', no],
    ['.', no],
    ['1,5', no],
    ['strong', no],
    [10n, 10],
    [inJson('0.12345678901234567890'), 0.12345678901234568],
    [inJson('1e999'), no],
    [true, 1],
    [{}, no],
  ],
  bool: [
    [true, true],
    [false, false],
    [1, true],
    [0, false],
    [2, no],
    [1n, true],
    [2n, no],
    ['true', true],
    ['False', false],
    [' YES ', true],
    ['n', false],
    ['off', false],
    ['', no],
    ['maybe', no],
    [{}, no],
  ],
  decimal: [
    ['-12.340', '-12.340'],
    ['+1', '1'],
    ['007.50', '7.50'],
    ['.5', '0.5'],
    ['5.', '5'],
    ['-0.00', '0.00'],
    ['1e3', '1000'],
    ['1.25e1', '12.5'],
    ['1.25e-3', '0.00125'],
    ['-1E+2', '-100'],
    ['12345678901234567890.123456789012345678901', '12345678901234567890.123456789012345678901'],
    ['1e10001', no],
    ['1e9999999', no],
    ['NaN', no],
    ['', no],
    ['.', no],
    ['1,5', no],
    [0.1, '0.1'],
    [1e-7, '0.0000001'],
    [1e21, '1000000000000000000000'],
    [-0, '0'],
    [Number.NaN, no],
    [12345678901234567890n, '12345678901234567890'],
    [inJson('-1.2345678901234567890e2'), '-123.45678901234567890'],
    [true, '1'],
    [{}, no],
  ],
  json: [
    ['{"a":1}', { a: 1 }],
    ['[9007199254740993, 1.5]', [9007199254740993n, 1.5]],
    ['null', null],
    ['"a"', 'a'],
    ['a', no],
    ['', no],
    [{ a: 1 }, { a: 1 }],
    ['[0.12345678901234567890]', [inJson('0.12345678901234567890')]],
    [inJson('0.12345678901234567890'), inJson('0.12345678901234567890')],
    [5, 5],
    [true, true],
    [Buffer.from('{"a":1}'), { a: 1 }],
    [Uint8Array.of(0xff), no],
  ],
  date: [
    ['2024-01-31', '2024-01-31'],
    [' 2024-01-31 ', '2024-01-31'],
    ['2024-01-31T23:30:00-05:00', '2024-01-31'],
    ['2024-02-29', '2024-02-29'],
    ['2023-02-29', no],
    ['2024-1-31', no],
    ['20240131', no],
    ['2024-01-31T', no],
    ['yesterday', no],
    ['', no],
    [1_517_966_773_840, '2018-02-07'],
    [1_517_966_773, '2018-02-07'],
    [1_517_966_773_840n, '2018-02-07'],
    [19_000, no],
    [true, no],
    [{}, no],
  ],
  datetime: [
    ['2024-01-31T12:34:56.123456Z', '2024-01-31T12:34:56.123456Z'],
    ['2024-01-31t12:34:56z', '2024-01-31T12:34:56Z'],
    ['2024-01-31 12:34:56', '2024-01-31T12:34:56Z'],
    ['2024-01-31 12:34:56,5', '2024-01-31T12:34:56.5Z'],
    ['2024-01-31 12:34', '2024-01-31T12:34:00Z'],
    ['2024-01-31', '2024-01-31T00:00:00Z'],
    ['2024-01-31 12:34:56 UTC', '2024-01-31T12:34:56Z'],
    ['2024-01-31 00:30:00+02', '2024-01-30T22:30:00Z'],
    ['2024-12-31T23:30:00.25-0100', '2025-01-01T00:30:00.25Z'],
    ['2024-01-31T12:34:56.1234567891Z', '2024-01-31T12:34:56.123456789Z'],
    ['0001-01-01T00:00:00+01:00', no],
    ['9999-12-31T23:59:59-01:00', no],
    ['2024-01-31T24:00:00Z', no],
    ['2024-01-31T12:34:60Z', no],
    ['2024-01-31T12:34:56.', no],
    ['2024-01-31T12:34:56+', no],
    ['2024-01-31T12:34:56+2', no],
    ['2024-01-31T12:34:56Zx', no],
    ['12:34:56', no],
    ['1517966773', no],
    ['', no],
    [1_517_966_773_840, '2018-02-07T01:26:13.840Z'],
    [1_517_966_773, '2018-02-07T01:26:13Z'],
    [0, '1970-01-01T00:00:00Z'],
    [1_517_966_773_840n, '2018-02-07T01:26:13.840Z'],
    [Number.NaN, no],
    [true, no],
    [[], no],
  ],
  time: [
    ['12:34:56.123456', '12:34:56.123456'],
    ['12:34', '12:34:00'],
    ['12:34:56+02', '12:34:56'],
    ['2024-01-31T12:34:56Z', '12:34:56'],
    ['2024-01-31', no],
    ['25:00', no],
    ['1:2', no],
    ['noon', no],
    ['', no],
    [1_517_966_773, no],
    [true, no],
  ],
};

for (const [name, table] of Object.entries(tables)) {
  describe(name, () => {
    const cast = compileCast(name as CastName, null);
    test.each(
      table.map(([from, to]) => ({ from, to, shown: typeof from === 'object' || typeof from === 'bigint' ? stringifyExact(from) : JSON.stringify(from) })),
    )('$shown → $to', ({ from, to }) => {
      expect(cast(from)).toStrictEqual(to);
    });
  });
}

test('a format decides alone, for numbers too', () => {
  const cast = compileCast('date', '%Y%m%d');
  expect(cast(20240131)).toBe('2024-01-31');
  expect(cast('20240131')).toBe('2024-01-31');
  expect(cast('2024-01-31')).toBeUndefined();
  expect(cast(1_517_966_773_840)).toBeUndefined();
  expect(cast(true)).toBeUndefined();
  expect(compileCast('int', '%Y')('7')).toBe(7);
  expect(compileCast('datetime', '%Y%m%d%H%M.%S%f')(inJson('202401311234.56123456'))).toBe('2024-01-31T12:34:56.123456Z');
});

test('64-bit integers stay exact', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n) => {
      const cast = compileCast('int', null);
      for (const from of [n, n.toString()]) expect(stringifyExact(cast(from) ?? null)).toBe(n.toString());
      expect(compileCast('decimal', null)(n.toString())).toBe(n.toString());
      expect(compileCast('string', null)(n)).toBe(n.toString());
    }),
  );
});

test('a decimal keeps its digits', () => {
  fc.assert(
    fc.property(fc.bigInt(), fc.stringMatching(/^\d{1,40}$/), (whole, fraction) => {
      if (whole === 0n) return;
      expect(compileCast('decimal', null)(`${whole}.${fraction}`)).toBe(`${whole}.${fraction}`);
    }),
  );
});

test('a decimal of a double reads back as that double', () => {
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (n) => Number(compileCast('decimal', null)(n)) === (n === 0 ? 0 : n)));
});

test('JSON of any value reads back, big integers included', () => {
  const value = fc.letrec<{ any: Value }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }).map((n) => n + 0),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 80n }),
      fc.array(tie('any')),
      fc.dictionary(
        fc.string().filter((name) => name !== '__proto__'),
        tie('any'),
        { noNullPrototype: true },
      ),
    ),
  })).any;
  fc.assert(
    fc.property(value, (from) => {
      expect(parseExact(stringifyExact(from))).toStrictEqual(from);
    }),
  );
});

test('whatever value: a cast gives a value or undefined, and never throws', () => {
  const anything = fc.oneof(fc.string(), fc.double(), fc.bigInt(), fc.boolean(), fc.jsonValue(), fc.uint8Array());
  for (const name of Object.keys(tables) as CastName[]) {
    for (const format of [null, '%Y-%m-%dT%H:%M:%S%z']) {
      const cast = compileCast(name, format);
      fc.assert(
        fc.property(anything, (from) => {
          if (from !== null) cast(from as NonNullable<Value>);
        }),
      );
    }
  }
});

test('JSON nested too deep is none', () => {
  expect(compileCast('json', null)('['.repeat(12_000) + ']'.repeat(12_000))).toBeUndefined();
});
