/** What a decoder of records gives, whatever the format. */
import type { RejectedRow } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import type { WholeRecords } from './splitter.ts';

export interface Decoded {
  readonly rows: Row[];
  /** Index of each row's record in the piece. */
  readonly records: number[];
  readonly unreadable: { readonly record: number; readonly code: RejectedRow['code']; readonly reason: string; readonly payload: string }[];
}

export interface Decoder {
  /** Decodes the records `from <= i < to`; blank lines give nothing. */
  decode(piece: WholeRecords, from: number, to: number): Decoded;
}

/** The bytes of record `index`, without its newline. */
export const recordBytes = (piece: WholeRecords, index: number, unit: 1 | 2): Buffer => {
  const start = index === 0 ? 0 : (piece.ends[index - 1] ?? 0);
  let end = piece.ends[index] ?? start;
  for (const code of [0x0a, 0x0d]) {
    if (end - unit < start) break;
    if (piece.bytes[end - unit] === code && (unit === 1 || piece.bytes[end - 1] === 0)) end -= unit;
    else if (code === 0x0a) break;
  }
  return piece.bytes.subarray(start, end);
};
