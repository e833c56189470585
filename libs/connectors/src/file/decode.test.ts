import fc from 'fast-check';
import { stringify } from 'csv-stringify/sync';
import { describe, expect, test } from 'vitest';
import { csvColumns, csvDecoder, fieldsByLibrary, fieldsOf } from './csv-rows.ts';
import { parseExact, parseExactRow, plainNotation, stringifyExact } from '@tributary/connector-sdk/exact-json';
import { jsonLinesDecoder } from './json-lines.ts';
import { createSplitter, type Piece, type SplitOptions } from './splitter.ts';
import type { Row } from '@tributary/contracts/types';

const csv: SplitOptions = { unit: 1, quoting: { delimiter: 44, quote: 34 }, limit: 1 << 20 };
const lines: SplitOptions = { unit: 1, quoting: null, limit: 1 << 20 };

/** Splits `bytes` given in chunks of the sizes in `cuts`, over and over. */
const split = (bytes: Buffer, options: SplitOptions, cuts: readonly number[]): Piece[] => {
  const splitter = createSplitter(options, 0);
  const pieces: Piece[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = cuts[turn % cuts.length] ?? 1;
    pieces.push(...splitter.push(Buffer.from(bytes.subarray(at, at + size))));
    at += size;
  }
  const rest = splitter.rest();
  return rest === null ? pieces : [...pieces, rest];
};

const recordTexts = (pieces: readonly Piece[], encoding: BufferEncoding = 'utf8'): string[] =>
  pieces.flatMap((piece) =>
    piece.kind === 'oversize'
      ? [`oversize ${piece.base}+${piece.size}`]
      : piece.ends.map((end, i) => piece.bytes.toString(encoding, piece.ends[i - 1] ?? 0, end)),
  );

describe('splitter', () => {
  test('records join to the bytes they came from, with exact offsets, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'é', '"', ',', '\n', '\r') }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (text, cuts) => {
          const bytes = Buffer.from(text);
          for (const options of [csv, lines]) {
            const pieces = split(bytes, options, cuts);
            expect(recordTexts(pieces).join('')).toBe(text);
            expect(recordTexts(pieces)).toEqual(recordTexts(split(bytes, options, [1 << 16])));
            for (const piece of pieces)
              if (piece.kind === 'records') expect(bytes.subarray(piece.base, piece.base + piece.bytes.length).equals(piece.bytes)).toBe(true);
          }
        },
      ),
    );
  });

  test('a newline inside quotes does not end a CSV record', () => {
    expect(recordTexts(split(Buffer.from('a,"b\n""c\n",d\ne"x\n'), csv, [3]))).toEqual(['a,"b\n""c\n",d\n', 'e"x\n']);
  });

  test('a record beyond the limit is skipped without being kept, and the next one is found', () => {
    const limit = 100;
    const text = `short\n${'x'.repeat(1000)}\nafter\n${'y'.repeat(101)}`;
    for (const cuts of [[7], [64], [5000]])
      expect(recordTexts(split(Buffer.from(text), { ...lines, limit }, cuts))).toEqual(['short\n', 'oversize 6+1001', 'after\n', 'oversize 1013+101']);
  });

  test('UTF-16 newlines are found at whole units only', () => {
    const text = 'Ċa\nb਀\nc\n';
    for (const cuts of [[1], [3], [100]])
      expect(recordTexts(split(Buffer.from(text, 'utf16le'), { ...lines, unit: 2 }, cuts), 'utf16le')).toEqual(['Ċa\n', 'b਀\n', 'c\n']);
  });
});

const decodeJson = (bytes: Buffer, encoding: 'utf-8' | 'latin1' | 'utf-16le' = 'utf-8'): { rows: Row[]; reasons: string[]; payloads: string[] } => {
  const decoder = jsonLinesDecoder(encoding);
  const results = split(bytes, { ...lines, unit: encoding === 'utf-16le' ? 2 : 1 }, [50]).flatMap((piece) =>
    piece.kind === 'records' ? [decoder.decode(piece, 0, piece.ends.length)] : [],
  );
  return {
    rows: results.flatMap((result) => result.rows),
    reasons: results.flatMap((result) => result.unreadable.map((row) => row.reason)),
    payloads: results.flatMap((result) => result.unreadable.map((row) => row.payload)),
  };
};

describe('JSON lines', () => {
  test('integers beyond 2^53 become bigint and decimals beyond a double stay text', () => {
    expect(
      decodeJson(
        Buffer.from('{"a":9007199254740993,"b":-9223372036854775808,"c":0.1,"d":12345678901234567.125,"e":[18446744073709551615],"s":"9007199254740993123"}\n'),
      ).rows,
    ).toEqual([{ a: 9007199254740993n, b: -9223372036854775808n, c: 0.1, d: '12345678901234567.125', e: [18446744073709551615n], s: '9007199254740993123' }]);
  });

  test('any 64-bit integer keeps its digits', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
        (value) => String((parseExact(`{"v":${value}}`) as { v: number | bigint }).v) === String(value),
      ),
    );
  });

  test('any double keeps its value; it stays a number unless its text is an integer beyond 2^53', () => {
    const double = fc.double({ noDefaultInfinity: true, noNaN: true }).filter((value) => Number.isSafeInteger(value) || !/^-?\d+$/.test(String(value)));
    fc.assert(fc.property(double, (value) => Object.is((parseExact(`{"v":${JSON.stringify(value)}}`) as { v: unknown }).v, JSON.parse(JSON.stringify(value)))));
  });

  test('exponents beyond a double become plain text', () => {
    expect(parseExactRow('{"a":1e400}')).toEqual({ a: `1${'0'.repeat(400)}` });
    expect(plainNotation('-1.25e1')).toBe('-12.5');
    expect(plainNotation('12e-3')).toBe('0.012');
    expect(parseExactRow('{"a":1e999999999}')).toEqual({ a: '1e999999999' });
    expect(stringifyExact(parseExact('[1e999999999]'))).toBe('[1e999999999]');
  });

  test('bad lines are refused alone, blank ones skipped', () => {
    const result = decodeJson(Buffer.concat([Buffer.from('{"a":1}\r\n\n  \n{"a":\n[1]\n'), Buffer.from([0x22, 0xff, 0x0a]), Buffer.from('{"é":2}\n')]));
    expect(result.rows).toEqual([{ a: 1 }, { é: 2 }]);
    expect(result.reasons).toEqual([expect.stringContaining('not JSON'), 'The line is JSON, but not an object.', 'The line is not valid utf-8.']);
    expect(result.payloads).toEqual(['{"a":', '[1]', 'base64:Iv8=']);
  });

  test('latin1 and UTF-16 are read as declared', () => {
    expect(decodeJson(Buffer.from('{"a":"é"}\n', 'latin1'), 'latin1').rows).toEqual([{ a: 'é' }]);
    expect(decodeJson(Buffer.from('{"a":"é"}\r\n{"b":1}', 'utf16le'), 'utf-16le').rows).toEqual([{ a: 'é' }, { b: 1 }]);
  });
});

const dialect = { delimiter: ',', quote: '"', encoding: 'utf-8' } as const;
const decodeCsv = (text: string, columns: readonly string[], cuts: readonly number[] = [1 << 16]): { rows: Row[]; refused: string[] } => {
  const decoder = csvDecoder(dialect, columns);
  const results = split(Buffer.from(text), csv, cuts).flatMap((piece) => (piece.kind === 'records' ? [decoder.decode(piece, 0, piece.ends.length)] : []));
  return {
    rows: results.flatMap((result) => result.rows),
    refused: results.flatMap((result) => result.unreadable.map((row) => `${row.payload}: ${row.reason}`)),
  };
};

describe('CSV', () => {
  test('any table written by csv-stringify is read back, however the bytes are cut', () => {
    const field = fc.string({ unit: fc.constantFrom('a', 'é', '"', ',', '\n', '\r', ' ') });
    fc.assert(
      fc.property(fc.array(fc.tuple(field, fc.oneof(field, fc.constant(null)))), fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (rows, cuts) => {
        const text = stringify(rows, { quoted_string: true });
        expect(decodeCsv(text, ['a', 'b'], cuts)).toEqual({ rows: rows.map(([a, b]) => ({ a, b })), refused: [] });
      }),
    );
  });

  test('any line gives what csv-parse gives of it, or is refused as csv-parse refuses it', () => {
    const line = fc.string({ unit: fc.constantFrom('a', '"', '""', ',', '\n', ' ', '$&') });
    const outcome = (read: typeof fieldsOf, text: string): unknown => {
      try {
        return read(text, dialect);
      } catch {
        return 'refused';
      }
    };
    fc.assert(
      fc.property(line, (text) => {
        fc.pre(text.includes('"') && recordTexts(split(Buffer.from(text), csv, [1000])).length === 1 && !text.endsWith('\n'));
        expect(outcome(fieldsOf, text)).toEqual(outcome(fieldsByLibrary, text));
      }),
      { numRuns: 2000 },
    );
  });

  test('empty is null, empty in quotes is the empty string', () => {
    expect(decodeCsv('a,\r\n,"b"\n"",c\n\n', ['x', 'y']).rows).toEqual([
      { x: 'a', y: null },
      { x: null, y: 'b' },
      { x: '', y: 'c' },
    ]);
  });

  test('malformed lines are refused alone', () => {
    expect(decodeCsv('1,"a"\n2\n3,"b"x\n4,y"z\n5,"c"\n', ['x', 'y'])).toEqual({
      rows: [
        { x: '1', y: 'a' },
        { x: '5', y: 'c' },
      ],
      refused: [
        expect.stringMatching(/^2: The line has 1 field where/),
        expect.stringMatching(/^3,"b"x: The line is not CSV/),
        expect.stringMatching(/^4,y"z: The line is not CSV/),
      ],
    });
  });

  test('a quote that never closes takes the rest, which is refused', () => {
    expect(decodeCsv('1,a\n2,"b\n3,c\n', ['x', 'y'])).toEqual({
      rows: [{ x: '1', y: 'a' }],
      refused: [expect.stringMatching(/^2,"b\n3,c: The line is not CSV/)],
    });
  });

  test('columns are named by the header, else by place', () => {
    expect(csvColumns(Buffer.from('id,,"na""me",id'), dialect, true)).toEqual(['id', 'column_2', 'na"me', 'id_2']);
    expect(csvColumns(Buffer.from('1,2'), dialect, false)).toEqual(['column_1', 'column_2']);
  });
});
