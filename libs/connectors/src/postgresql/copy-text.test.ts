import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseExact } from '@tributary/connector-sdk/exact-json';
import type { ColumnType, Row, Value } from '@tributary/contracts/types';
import { decoderFor, encodeRow, encoderFor, splitLine, UnwritableValue } from './copy-text.ts';

const columnsOf = (types: Record<string, string>) =>
  Object.entries(types).map(([name, type]) => ({ name, encode: encoderFor({ name: type, category: type.startsWith('_') ? 'A' : 'S', sql: type }) }));
const line = (types: Record<string, string>, row: Row): string => encodeRow(columnsOf(types), row);
const decode = (kind: Exclude<ColumnType['kind'], 'DECIMAL'>, text: string): Value => decoderFor({ kind })(text);

test('any text but a NUL comes back as it was', () => {
  const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
  fc.assert(
    fc.property(fc.array(fc.option(text), { minLength: 1, maxLength: 5 }), (values) => {
      const names = Object.fromEntries(values.map((_, index) => [`c${index}`, 'text']));
      const written = line(names, Object.fromEntries(values.map((value, index) => [`c${index}`, value])));
      expect(written.endsWith('\n')).toBe(true);
      expect(written.indexOf('\n')).toBe(written.length - 1);
      expect(splitLine(written.slice(0, -1))).toEqual(values);
    }),
  );
});

test('any JSON comes back as it was', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const [text] = splitLine(line({ doc: 'jsonb' }, { doc: value as Value }).slice(0, -1));
      expect(text == null ? null : decode('JSON', text)).toEqual(parseExact(JSON.stringify(value)));
    }),
  );
});

test('integers of 64 bits are exact, plain or inside JSON', () => {
  const big = 9_223_372_036_854_775_807n;
  expect(line({ a: 'int8', b: 'jsonb' }, { a: big, b: { n: [big] } })).toBe(`${big}\t{"n":[${big}]}\n`);
  expect(decode('LONG', String(big))).toBe(big);
  expect(decode('LONG', '9007199254740991')).toBe(9_007_199_254_740_991);
  expect(decode('JSON', `{"n":[${big}]}`)).toEqual({ n: [big] });
});

test('decimals inside JSON stay numbers with all digits', () => {
  for (const text of ['12345678901234567.125', '{"n":[0.12345678901234567890]}']) expect(line({ a: 'jsonb' }, { a: decode('JSON', text) })).toBe(`${text}\n`);
});

test('bytes inside JSON are base64', () => {
  expect(line({ a: 'jsonb' }, { a: { b: Buffer.from([255, 254]) } })).toBe('{"b":"//4="}\n');
});

test('null, missing, empty and a text that looks like null are told apart', () => {
  expect(line({ a: 'text', b: 'text', c: 'text', d: 'text' }, { a: null, c: '', d: '\\N' })).toBe('\\N\t\\N\t\t\\\\N\n');
  expect(splitLine('\\N\t\t\\\\N')).toEqual([null, '', '\\N']);
});

test('bytes and lists have their own notation', () => {
  expect(line({ a: 'bytea', b: '_text' }, { a: new Uint8Array([0, 255]), b: ['a"b', null, '', ['c\\']] })).toBe(
    '\\\\x00ff\t{"a\\\\"b",NULL,"",{"c\\\\\\\\"}}\n',
  );
});

test('a NUL is refused', () => {
  expect(() => line({ a: 'text' }, { a: 'x\0y' })).toThrow(UnwritableValue);
});

test('times lose nothing and get the notation of the contract', () => {
  expect(decode('UTC_DATETIME', '2024-03-01 12:00:00.123456+00')).toBe('2024-03-01T12:00:00.123456Z');
  expect(decode('NAIVE_DATETIME', '2024-03-01 12:00:00.000001')).toBe('2024-03-01T12:00:00.000001');
  expect(decode('UTC_DATETIME', 'infinity')).toBe('infinity');
});
