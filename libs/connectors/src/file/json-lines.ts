/** JSON lines (https://jsonlines.org) to rows: one object a line. */
import { cutText } from '@tributary/connector-sdk/payload';
import type { Row } from '@tributary/contracts/types';
import { recordBytes, type Decoded, type Decoder } from './decode.ts';
import { hasLongNumber, longestShallowText, parseExactRow } from '@tributary/connector-sdk/exact-json';
import type { WholeRecords } from './splitter.ts';
import { decodeByUnit, decodeText, payloadOf, unitOf, type Encoding } from './text.ts';

const blank = /^\s*$/;

const isRow = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value);

export const jsonLinesDecoder = (encoding: Encoding): Decoder => {
  const unit = unitOf(encoding);

  const decode = (piece: WholeRecords, from: number, to: number): Decoded => {
    const decoded: Decoded = { rows: [], records: [], unreadable: [] };
    const refuse = (record: number, reason: string, payload: string): void => {
      decoded.unreadable.push({ record, code: 'ROW_UNREADABLE', reason, payload });
    };
    const start = from === 0 ? 0 : (piece.ends[from - 1] ?? 0);
    const whole = decodeByUnit(piece.bytes.subarray(start, piece.ends[to - 1]), encoding);
    const parse =
      whole === null || hasLongNumber(whole)
        ? parseExactRow
        : (text: string): unknown => (text.length > longestShallowText ? parseExactRow(text) : JSON.parse(text));
    let at = 0;
    for (let record = from; record < to; record += 1) {
      let text: string | null;
      if (whole === null) text = decodeText(recordBytes(piece, record, unit), encoding);
      else {
        // JSON.parse takes the newline as white space, so it need not be cut off.
        const end = ((piece.ends[record] ?? 0) - start) / unit;
        text = whole.slice(at, end);
        at = end;
      }
      if (text === null) {
        refuse(record, `The line is not valid ${encoding}.`, payloadOf(recordBytes(piece, record, unit), encoding));
        continue;
      }
      try {
        const value = parse(text);
        if (isRow(value)) {
          decoded.rows.push(value);
          decoded.records.push(record);
        } else refuse(record, 'The line is JSON, but not an object.', cutText(text.trim()));
      } catch (error) {
        if (blank.test(text)) continue;
        refuse(record, `The line is not JSON: ${error instanceof Error ? cutText(error.message, 200) : 'it does not parse'}.`, cutText(text.trimEnd()));
      }
    }
    return decoded;
  };

  return { decode };
};
