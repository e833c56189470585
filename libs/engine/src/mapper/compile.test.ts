import { createDecipheriv, createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseExact, stringifyExact } from '@tributary/connector-sdk/exact-json';
import { mapperConfig, type MapperConfig } from '@tributary/contracts/mapper';
import type { Row, Value } from '@tributary/contracts/types';
import { compileMapper } from './compile.ts';

/** The rows of a record, or why it was rejected. */
const mapping = (config: MapperConfig, encryptionKey?: Buffer) => {
  const mapper = compileMapper(mapperConfig.parse(config), { encryptionKey });
  return (record: Row, op: 'upsert' | 'delete' = 'upsert'): Row[] | string => {
    const out: Row[] = [];
    if (mapper.map(record, op, out)) return out;
    expect(out).toEqual([]);
    const { code, reason } = mapper.rejection();
    return `${code}: ${reason}`;
  };
};

const order = {
  id: 7,
  customer: { name: 'Ada', tags: ['a', 'b'] },
  items: [
    { sku: 'x', amounts: [1, 2] },
    { sku: 'y', amounts: [3] },
  ],
  notes: ['first'],
  'odd name': 'o',
  '0': 'zero',
  nothing: null,
};

describe('paths', () => {
  test.each<[string, Value]>([
    ['$.id', 7],
    ['$.customer.name', 'Ada'],
    ['$.customer.tags[1]', 'b'],
    ['$.customer.tags[9]', null],
    ["$['odd name']", 'o'],
    ['customer|tags|0', 'a'],
    ['0', 'zero'],
    ['$.0', 'zero'],
    ['$[0]', null],
    ['$.nothing', null],
    ['$.nothing.at.all', null],
    ['$.missing', null],
    ['$.id.toString', null],
    ['$.customer.name.length', null],
    ['$.customer.name[0]', null],
    ['customer|name|0', null],
    ['$.items.length', null],
    ["$.items['0']", null],
    ['$.constructor', null],
    ['$.__proto__', null],
    ['$.hasOwnProperty', null],
    ['$.customer', order.customer],
  ])('%s', (path, expected) => {
    expect(mapping([{ key: 'v', path }])(order)).toEqual([{ v: expected }]);
  });

  test('a member with a name that objects inherit is found when the record has it', () => {
    const record = JSON.parse('{"__proto__": 1, "constructor": {"length": 2}, "toString": 3}') as Row;
    expect(
      mapping([
        { key: 'a', path: '$.__proto__' },
        { key: 'b', path: '$.constructor.length' },
        { key: 'c', path: '$.toString' },
      ])(record),
    ).toEqual([{ a: 1, b: 2, c: 3 }]);
  });

  test('a decimal inside a document that no double holds keeps its digits: a text in the row, a number in JSON', () => {
    const record = parseExact('{"doc":{"price":12345678901234567.1250,"list":[0.12345678901234567890]}}') as Row;
    const [row] = mapping([
      { key: 'plain', path: '$.doc.price' },
      { key: 'element', path: '$.doc.list[*]' },
      { key: 'decimal', path: '$.doc.price', cast: 'decimal' },
      { key: 'joined', concatenate_fields: ['$.doc.price', '$.doc.list'] },
      { key: 'doc', path: '$.doc' },
      { key: 'json', path: '$.doc.price', cast: 'json' },
      { key: 'inside', path: '$.doc.price.rawJSON' },
    ])(record) as Row[];
    expect(row).toMatchObject({
      plain: '12345678901234567.1250',
      element: '0.12345678901234567890',
      decimal: '12345678901234567.1250',
      joined: '12345678901234567.1250[0.12345678901234567890]',
      inside: null,
    });
    expect(stringifyExact([row?.['doc'], row?.['json']])).toBe('[{"price":12345678901234567.1250,"list":[0.12345678901234567890]},12345678901234567.1250]');
    expect(mapping([{ key: 'v', path: '$.doc.price[*]' }])(record)).toContain('12345678901234567.1250 is not an array');
  });

  test('$ is the whole record', () => {
    expect(mapping([{ key: 'all', path: '$', cast: 'string' }])({ a: 9007199254740993n })).toEqual([{ all: '{"a":9007199254740993}' }]);
  });

  test('a column may have any name', () => {
    const [row] = mapping([
      { key: '__proto__', path: '$.id' },
      { key: 'a"`${x}\\\u2028', path: '$.id' },
      { key: 'constructor', path: '$.id' },
    ])(order) as Row[];
    expect(Object.keys(row ?? {})).toEqual(['__proto__', 'a"`${x}\\\u2028', 'constructor']);
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  });
});

describe('wildcards', () => {
  test('spread an array over rows, with the rest repeated', () => {
    expect(
      mapping([
        { key: 'id', path: '$.id' },
        { key: 'sku', path: '$.items[*].sku' },
      ])(order),
    ).toEqual([
      { id: 7, sku: 'x' },
      { id: 7, sku: 'y' },
    ]);
  });

  test('zip siblings by index, the shorter filled up with null', () => {
    expect(
      mapping([
        { key: 'sku', path: 'items|*|sku' },
        { key: 'note', path: '$.notes[*]' },
      ])(order),
    ).toEqual([
      { sku: 'x', note: 'first' },
      { sku: 'y', note: null },
    ]);
  });

  test('go on within each other', () => {
    expect(
      mapping([
        { key: 'id', path: '$.id' },
        { key: 'sku', path: '$.items[*].sku' },
        { key: 'amount', path: '$.items[*].amounts[*]' },
      ])(order),
    ).toEqual([
      { id: 7, sku: 'x', amount: 1 },
      { id: 7, sku: 'x', amount: 2 },
      { id: 7, sku: 'y', amount: 3 },
    ]);
  });

  test.each<[Row, string]>([
    [{ items: [] }, 'empty'],
    [{ items: null }, 'null'],
    [{}, 'missing'],
  ])('no element, no row: %j (%s)', (record) => {
    expect(
      mapping([
        { key: 'id', path: '$.id', nullable: false },
        { key: 'sku', path: '$.items[*].sku' },
      ])(record),
    ).toEqual([]);
  });

  test('what is no array rejects the record', () => {
    expect(mapping([{ key: 'sku', path: '$.items[*].sku' }])({ items: { sku: 'x' } })).toBe(
      'CAST_FAILED: Column "sku": {"sku":"x"} is not an array, so $.items[*].sku cannot spread it.',
    );
  });

  test('a record is rejected as a whole, though only its last row is wrong', () => {
    const map = mapping([{ key: 'n', path: '$.n[*]', cast: 'int' }]);
    expect(map({ n: [1, 2, 3] })).toHaveLength(3);
    expect(map({ n: [1, 2, 'x'] })).toBe('CAST_FAILED: Column "n": "x" is not a 64-bit int.');
    expect(map({ n: [4] })).toEqual([{ n: 4 }]);
  });

  test('make as many rows as the longest array has elements', () => {
    const lists = fc.array(fc.integer(), { maxLength: 6 });
    const map = mapping([
      { key: 'a', path: '$.a[*]' },
      { key: 'b', path: '$.b[*]' },
      { key: 'c', path: '$.c' },
    ]);
    fc.assert(
      fc.property(lists, lists, (a, b) => {
        const rows = Array.from({ length: Math.max(a.length, b.length) }, (_, i) => ({ a: a[i] ?? null, b: b[i] ?? null, c: 1 }));
        expect(map({ a, b, c: 1 })).toEqual(rows);
      }),
    );
  });
});

describe('null and missing', () => {
  test('a column is nullable unless it says otherwise or is a key', () => {
    const { columns, primaryKey } = compileMapper([
      { key: 'id', path: '$.id', cast: 'int', primary_key: true, nullable: true },
      { key: 'a', path: '$.a', cast: 'decimal' },
      { key: 'b', path: '$.b', nullable: false },
      { key: 'c', path: '$.c', hash_method: 'md5' },
    ]);
    expect(columns).toEqual([
      { name: 'id', type: { kind: 'LONG' }, nullable: false },
      { name: 'a', type: { kind: 'DECIMAL', precision: null, scale: null }, nullable: true },
      { name: 'b', type: null, nullable: false },
      { name: 'c', type: { kind: 'STRING' }, nullable: true },
    ]);
    expect(primaryKey).toEqual(['id']);
  });

  test.each<[Row, string]>([
    [{ a: null }, 'null'],
    [{}, 'missing'],
  ])('%j (%s) where a value must be', (record) => {
    expect(mapping([{ key: 'a', path: '$.a', cast: 'int', nullable: false }])(record)).toBe(
      'VALUE_MISSING: Column "a" must have a value, but there is none at $.a.',
    );
  });

  test("JSON's null is null", () => {
    expect(mapping([{ key: 'a', path: '$.a', cast: 'json', nullable: false }])({ a: 'null' })).toMatch(/^VALUE_MISSING/);
  });
});

describe('casts', () => {
  test('a failed one names column and value', () => {
    expect(mapping([{ key: 'magnitude', path: '$.mag', cast: 'float' }])({ mag: 'strong' })).toBe('CAST_FAILED: Column "magnitude": "strong" is not a float.');
    expect(mapping([{ key: 'day', path: '$.day', cast: 'date', cast_format: '%d/%m/%Y' }])({ day: '2024-01-31' })).toBe(
      'CAST_FAILED: Column "day": "2024-01-31" is not a date in the format %d/%m/%Y.',
    );
    expect(mapping([{ key: 'n', path: '$.n', cast: 'int' }])({ n: { a: 1n } })).toBe('CAST_FAILED: Column "n": {"a":1} is not a 64-bit int.');
    expect(mapping([{ key: 'n', path: '$.n', cast: 'string' }])({ n: Uint8Array.of(255) })).toBe('CAST_FAILED: Column "n": 0xff is not UTF-8 text.');
  });

  test('a long value is cut', () => {
    expect(mapping([{ key: 'n', path: '$.n', cast: 'int' }])({ n: 'x'.repeat(5000) })).toBe(
      `CAST_FAILED: Column "n": "${'x'.repeat(100)}…" is not a 64-bit int.`,
    );
  });
});

describe('transforms', () => {
  const key = Buffer.alloc(32, 7);
  const decrypt = (text: Value | undefined): string => {
    const bytes = Buffer.from(typeof text === 'string' ? text : '', 'base64');
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12)).setAuthTag(bytes.subarray(12, 28));
    return decipher.update(bytes.subarray(28)).toString() + decipher.final().toString();
  };
  const one = (rows: Row[] | string): Value | undefined => (typeof rows === 'string' ? rows : rows[0]?.['v']);

  test('a static value needs no record', () => {
    expect(
      mapping([
        { key: 'v', static: '5', cast: 'int' },
        { key: 'w', static: false },
      ])({}),
    ).toEqual([{ v: 5, w: false }]);
  });

  test('parts are joined as text, what is missing adds nothing', () => {
    const map = mapping([{ key: 'v', concatenate_fields: ['$.a', '$.b', 'c|0'] }]);
    expect(map({ a: 'x', b: 1n, c: [true] })).toEqual([{ v: 'x1true' }]);
    expect(map({ a: null, c: ['z'] })).toEqual([{ v: 'z' }]);
    expect(map({})).toEqual([{ v: null }]);
    expect(map({ a: 'x', b: Uint8Array.of(255) })).toMatch(/^CAST_FAILED: Column "v": 0xff is not UTF-8 text/);
  });

  test('parts may be spread', () => {
    expect(mapping([{ key: 'v', concatenate_fields: ['$.id', '$.items[*].sku'] }])(order)).toEqual([{ v: '7x' }, { v: '7y' }]);
  });

  test.each(['md5', 'sha256', 'sha512'] as const)('%s is of the UTF-8 text, in hexadecimal', (method) => {
    const map = mapping([{ key: 'v', path: '$.v', hash_method: method }]);
    expect(one(map({ v: 'grün' }))).toBe(createHash(method).update('grün').digest('hex'));
    expect(one(map({ v: 12 }))).toBe(createHash(method).update('12').digest('hex'));
    expect(one(map({ v: Uint8Array.of(255) }))).toBe(createHash(method).update(Uint8Array.of(255)).digest('hex'));
    expect(one(map({ v: null }))).toBeNull();
  });

  test('an encrypted value opens with the key, and differs each time', () => {
    const map = mapping([{ key: 'v', path: '$.v', encrypt_method: 'aes-256-gcm' }], key);
    const [first, second] = [one(map({ v: 'geheim' })), one(map({ v: 'geheim' }))];
    expect(first).not.toBe(second);
    expect([decrypt(first), decrypt(second)]).toEqual(['geheim', 'geheim']);
    expect(one(map({}))).toBeNull();
  });

  test('the order is concatenate, hash, encrypt, cast', () => {
    const map = mapping([{ key: 'v', concatenate_fields: ['$.a', '$.b'], hash_method: 'sha256', encrypt_method: 'aes-256-gcm', cast: 'string' }], key);
    expect(decrypt(one(map({ a: 'x', b: 'y' })))).toBe(createHash('sha256').update('xy').digest('hex'));
  });
});

describe('deletes', () => {
  test('keep the key columns, and need no others', () => {
    const map = mapping([
      { key: 'id', path: '$.id', cast: 'int', primary_key: true },
      { key: 'name', path: '$.name', nullable: false },
    ]);
    expect(map({ id: '7' }, 'delete')).toEqual([{ id: 7 }]);
    expect(map({}, 'delete')).toMatch(/^VALUE_MISSING: Column "id"/);
  });

  test('say nothing without key columns', () => {
    expect(mapping([{ key: 'id', path: '$.id' }])({ id: 7 }, 'delete')).toEqual([]);
  });
});

describe('a wrong config is refused before any row', () => {
  test.each<[string, MapperConfig]>([
    [
      'The mapper has two columns "a".',
      [
        { key: 'a', path: '$.a' },
        { key: 'a', path: '$.b' },
      ],
    ],
    ['Column "a": The path "$.a[" cannot be read', [{ key: 'a', path: '$.a[' }]],
    ['Column "a": The path "$..b" cannot be read', [{ key: 'a', concatenate_fields: ['$.a', '$..b'] }]],
    ['Column "a": The cast_format "%Q" cannot be used: %Q is not known.', [{ key: 'a', path: '$.a', cast: 'date', cast_format: '%Q' }]],
    ['Column "a": the static value "x" is not a 64-bit int.', [{ key: 'a', static: 'x', cast: 'int' }]],
    ['Column "a" is to be encrypted, but no 32-byte encryption key', [{ key: 'a', path: '$.a', encrypt_method: 'aes-256-gcm' }]],
  ])('%s', (message, config) => {
    expect(() => compileMapper(config)).toThrow(message);
  });

  test('a key column cannot be encrypted', () => {
    expect(() => compileMapper([{ key: 'a', path: '$.a', primary_key: true, encrypt_method: 'aes-256-gcm' }], { encryptionKey: Buffer.alloc(32) })).toThrow(
      'is a primary key and cannot be encrypted',
    );
  });
});

test('whatever path and record: a value that is there, or null', () => {
  const name = fc.constantFrom('a', 'b', 'length', 'constructor', '__proto__', '0', 'toString');
  const lookUp = (value: Value | undefined, path: readonly string[]): Value => {
    let at: Value | undefined = value;
    for (const step of path) at = typeof at === 'object' && at !== null && !Array.isArray(at) && Object.hasOwn(at, step) ? (at as Row)[step] : undefined;
    return at ?? null;
  };
  const record = fc.dictionary(name, fc.jsonValue({ maxDepth: 2 }), { noNullPrototype: true });
  fc.assert(
    fc.property(record, fc.array(name, { minLength: 1, maxLength: 3 }), (from, path) => {
      const rows = mapping([{ key: 'v', path: `$${path.map((step) => `['${step}']`).join('')}` }])(from as Row);
      expect(rows).toEqual([{ v: lookUp(from as Row, path) }]);
    }),
    { numRuns: 500 },
  );
});

test('two thousand columns compile and map', () => {
  const config = Array.from({ length: 2000 }, (_, i) => ({ key: `c${i}`, path: `$.a.f${i}`, cast: 'int' as const }));
  const a = Object.fromEntries(config.map((_, i) => [`f${i}`, String(i)]));
  const rows = mapping(config)({ a });
  expect(typeof rows === 'string' ? rows : rows[0]?.['c1999']).toBe(1999);
});

test('fields that a key is made of are told where a value can be made of their text', () => {
  const keyFields = (config: MapperConfig) => compileMapper(config).keyFields;
  const id = { key: 'id', path: '$.order_id', cast: 'int', primary_key: true } as const;
  expect(keyFields([{ key: 'a', path: '$.a' }, id, { key: 'region', path: 'region', cast: 'string', primary_key: true }])).toEqual(['order_id', 'region']);
  for (const other of [{ cast: null }, { cast: 'json' }, { path: '$.a.b' }, { path: '$.list[0]' }, { path: null, static: 1 }] as const) {
    expect(
      keyFields([
        { ...id, ...other },
        { ...id, key: 'second' },
      ]),
    ).toBeNull();
  }
  expect(keyFields([{ key: 'a', path: '$.a' }])).toBeNull();
});
