import { BSON, Binary, BSONRegExp, Code, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID, type Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import type { Column, Row, Value } from '@tributary/contracts/types';
import { targetConfig } from './config.ts';
import { decodeOptions, exactText, fromExactText, rowOfDocument } from './from-bson.ts';
import { documentEncoder } from './to-bson.ts';

/** As the server would give it back. */
const throughBson = (document: Document): Document => BSON.deserialize(BSON.serialize(document), decodeOptions);
const config = (more: object = {}) => targetConfig.parse({ host: 'h', database: 'd', ...more });
const column = (name: string, kind: string): Column => ({ name, type: { kind, precision: null, scale: null } as Column['type'], nullable: true });

const nested = (levels: number): Value => (levels === 0 ? 1 : [nested(levels - 1)]);

describe('documents as rows', () => {
  test('values of every type keep all their digits', () => {
    const id = new ObjectId();
    const uuid = new UUID();
    const row = rowOfDocument(
      throughBson({
        _id: id,
        int: 1,
        double: 0.1,
        nan: Number.NaN,
        long: Long.fromString('9223372036854775807'),
        small: Long.fromNumber(7),
        decimal: Decimal128.fromString('12345678901234567890.1234567890'),
        tiny: Decimal128.fromString('1E-8'),
        date: new Date('2024-02-29T12:34:56.789Z'),
        early: new Date('0001-01-01T00:00:00Z'),
        bytes: new Binary(Buffer.from([0, 255])),
        uuid,
        text: 'a\0b 🚀',
        nothing: null,
        nested: {
          long: Long.fromString('9007199254740993'),
          price: Decimal128.fromString('0.12345678901234567891'),
          half: Decimal128.fromString('0.50'),
          list: [id, null],
        },
        pattern: new BSONRegExp('^a', 'i'),
        stamp: new Timestamp({ t: 5, i: 6 }),
        least: new MinKey(),
        most: new MaxKey(),
        code: new Code('x'),
      }),
    );
    expect(row).toEqual({
      _id: id.toHexString(),
      int: 1,
      double: 0.1,
      nan: Number.NaN,
      long: 9223372036854775807n,
      small: 7,
      decimal: '12345678901234567890.1234567890',
      tiny: '0.00000001',
      date: '2024-02-29T12:34:56.789Z',
      early: '0001-01-01T00:00:00.000Z',
      bytes: new Uint8Array([0, 255]),
      uuid: uuid.toString(),
      text: 'a\0b 🚀',
      nothing: null,
      nested: { long: 9007199254740993n, price: JSON.rawJSON('0.12345678901234567891'), half: 0.5, list: [id.toHexString(), null] },
      pattern: { $regularExpression: { pattern: '^a', options: 'i' } },
      stamp: { $timestamp: { t: 5, i: 6 } },
      least: { $minKey: 1 },
      most: { $maxKey: 1 },
      code: { $code: 'x' },
    });
  });

  test('missing and null differ, and odd names are names', () => {
    const document = BSON.deserialize(BSON.serialize({ a: null, 'b.c': 1, '': 2, $d: 3 }));
    Object.defineProperty(document, '__proto__', { value: 4, enumerable: true });
    const row = rowOfDocument(document);
    expect(Object.keys(row)).toEqual(['a', 'b.c', '', '$d', '__proto__']);
    expect('missing' in row).toBe(false);
  });

  test('a date that no text can say makes the document unreadable', () => {
    expect(() => rowOfDocument({ _id: 1, at: new Date(Number.NaN) })).toThrow('beyond the years');
  });

  test.for([1, 1.5, 'x', null, true, new ObjectId(), Long.fromString('9007199254740993'), { b: 1, a: [1] }, new Date(0), new Timestamp({ t: 1, i: 2 })])(
    'the exact text of %j leads back to it',
    (value) => {
      const text = exactText({ value });
      expect(exactText(fromExactText(text))).toBe(text);
    },
  );
});

describe('rows as documents', () => {
  const columns = [
    column('long', 'LONG'),
    column('int', 'INT'),
    column('double', 'DOUBLE'),
    column('decimal', 'DECIMAL'),
    column('at', 'UTC_DATETIME'),
    column('local', 'NAIVE_DATETIME'),
    column('bytes', 'BINARY'),
    column('json', 'JSON'),
    column('note', 'STRING'),
  ];

  test('each type is stored as its own', () => {
    const document = documentEncoder(
      columns,
      config(),
    )({
      long: 1,
      int: 2,
      double: 3,
      decimal: '12.340',
      at: '2024-02-29T12:34:56.789Z',
      local: '2024-02-29T12:34:56.789',
      bytes: new Uint8Array([1]),
      json: { big: 9007199254740993n, huge: 2n ** 64n, exact: JSON.rawJSON('0.12345678901234567891') as unknown as Value, wide: 3_000_000_000 },
      note: null,
      undeclared: 5_000_000_000,
    });
    expect(document).toEqual({
      long: Long.fromNumber(1),
      int: new Int32(2),
      double: new Double(3),
      decimal: Decimal128.fromString('12.340'),
      at: new Date('2024-02-29T12:34:56.789Z'),
      local: '2024-02-29T12:34:56.789',
      bytes: new Binary(Buffer.from([1])),
      json: {
        big: Long.fromString('9007199254740993'),
        huge: Decimal128.fromString('18446744073709551616'),
        exact: Decimal128.fromString('0.12345678901234567891'),
        wide: Long.fromNumber(3_000_000_000),
      },
      note: null,
      undeclared: Long.fromNumber(5_000_000_000),
    });
  });

  test.for([
    ['exact', '2024-01-01T00:00:00.123456Z'],
    ['milliseconds', new Date('2024-01-01T00:00:00.123Z')],
    ['text', '2024-01-01T00:00:00.123456Z'],
  ] as const)('times finer than a millisecond are stored as the connection says: %s', ([dateTimes, stored]) => {
    expect(documentEncoder(columns, config({ date_times: dateTimes }))({ at: '2024-01-01T00:00:00.123456Z' })).toEqual({ at: stored });
  });

  test.for<[string, Row]>([
    ['a fraction in an integer', { long: 1.5 }],
    ['an integer beyond 64 bits', { long: 2n ** 63n }],
    ['an integer beyond 32 bits', { int: 2 ** 31 + 1 }],
    ['a text in a float', { double: 'fast' }],
    ['half a character', { note: '\ud83d' }],
    ['half a character in a document', { json: { a: ['\ud83d'] } }],
    ['a NUL in a name in a document', { json: { 'a\0b': 1 } }],
    ['a NUL in a name', { 'x\0': 1 }],
    ['a number of 41 digits', { json: { n: JSON.rawJSON('1234567890123456789012345678901234567890.5') as unknown as Value } }],
    ['a document of 101 levels', { json: nested(101) }],
    ['a text in bytes', { bytes: 'text' }],
  ])('what MongoDB cannot hold exactly is refused: %s', ([, row]) => {
    expect(() => documentEncoder(columns, config())(row)).toThrow(/^Column "/);
  });
});
