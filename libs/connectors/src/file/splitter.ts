/**
 * Finds where records end in a stream of bytes: at newlines, but for CSV not at those inside quotes (RFC 4180).
 * Works on bytes, so that offsets are exact whatever the parser behind it does.
 */
export interface SplitOptions {
  /** Bytes of one code unit: 2 for UTF-16. */
  readonly unit: 1 | 2;
  /** Code of delimiter and quote; null for JSON lines, and for CSV without quotes. */
  readonly quoting: { readonly delimiter: number; readonly quote: number } | null;
  /** Longest record in bytes. */
  readonly limit: number;
}

/** Record i is `bytes[ends[i - 1] ?? 0 .. ends[i])`, its newline included. `base` is the offset of `bytes[0]` in the stream. */
export interface WholeRecords {
  readonly kind: 'records';
  readonly bytes: Buffer;
  readonly base: number;
  readonly ends: readonly number[];
}

/** One record beyond the limit, of which only the beginning was kept. */
export interface OversizeRecord {
  readonly kind: 'oversize';
  readonly base: number;
  readonly size: number;
  readonly head: Buffer;
}

export type Piece = WholeRecords | OversizeRecord;

export interface Splitter {
  /** The records that `chunk` completes. `chunk` must not be reused by the caller. */
  push(chunk: Buffer): Piece[];
  /** The last record, which has no newline; null when there is none. Ends the stream. */
  rest(): Piece | null;
}

const newline = 0x0a;
const headLength = 64 * 1024;

type Units = Buffer | Uint16Array;

const unitsOf = (bytes: Buffer, unit: 1 | 2): { bytes: Buffer; units: Units } => {
  if (unit === 1) return { bytes, units: bytes };
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer);
  return { bytes: aligned, units: new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length >> 1) };
};

/** Where the scan stands inside a record. `closing`: a quote was seen inside quotes; it ends them unless another follows. */
type State = 'start' | 'plain' | 'quoted' | 'closing';

export const createSplitter = (options: SplitOptions, base: number): Splitter => {
  const { unit, quoting, limit } = options;
  let tail: Buffer = Buffer.alloc(0);
  let tailBase = base;
  let state: State = 'start';
  /** Units of the tail already looked at. */
  let scanned = 0;
  /** Bytes already dropped of a record beyond the limit; 0 when none is being skipped. */
  let dropped = 0;
  let head: Buffer = Buffer.alloc(0);

  /** Index after the newline that ends the record in which `from` stands; -1 when it is not in `units`, with `state` saying where the scan stands. */
  const endOfRecord = (units: Units, from: number): number => {
    if (quoting === null) return units.indexOf(newline, from) + 1 || -1;
    const { delimiter, quote } = quoting;
    let at = from;
    while (at < units.length) {
      if (state === 'quoted') {
        at = units.indexOf(quote, at);
        if (at < 0) return -1;
        state = 'closing';
        at += 1;
        continue;
      }
      const code = units[at];
      at += 1;
      if (code === newline) {
        state = 'start';
        return at;
      }
      if (code === quote && (state === 'start' || state === 'closing')) state = 'quoted';
      else state = code === delimiter ? 'start' : 'plain';
    }
    return -1;
  };

  const push = (chunk: Buffer): Piece[] => {
    const pieces: Piece[] = [];
    const { bytes, units } = unitsOf(tail.length === 0 ? chunk : Buffer.concat([tail, chunk]), unit);
    let ends: number[] = [];
    let begin = 0;
    let at = scanned;
    // One search for the next quote lets all records before it be found by newline alone.
    let nextQuote = quoting === null ? Infinity : -1;
    const flush = (until: number): void => {
      if (ends.length > 0)
        pieces.push({
          kind: 'records',
          bytes: bytes.subarray(begin, until),
          base: tailBase + begin,
          ends: begin === 0 ? ends : ends.map((end) => end - begin),
        });
      ends = [];
    };
    let recordStart = 0;
    for (;;) {
      if (quoting !== null && nextQuote < at) nextQuote = units.indexOf(quoting.quote, at) >>> 0;
      let end: number;
      if (state === 'start' && nextQuote > at) {
        const line = units.indexOf(newline, at) + 1;
        if (line > 0 && line <= nextQuote) end = line;
        else end = endOfRecord(units, at);
      } else end = endOfRecord(units, at);
      if (end < 0) break;
      const endByte = end * unit;
      if (dropped + endByte - recordStart > limit) {
        flush(recordStart);
        pieces.push({
          kind: 'oversize',
          base: tailBase + recordStart - dropped,
          size: dropped + endByte - recordStart,
          head: dropped > 0 ? head : Buffer.from(bytes.subarray(recordStart, recordStart + headLength)),
        });
        dropped = 0;
        begin = endByte;
      } else ends.push(endByte);
      recordStart = endByte;
      at = end;
    }
    flush(recordStart);
    const left = bytes.subarray(recordStart);
    scanned = units.length - recordStart / unit;
    tailBase += recordStart;
    if (dropped + left.length > limit) {
      if (dropped === 0) head = Buffer.from(left.subarray(0, headLength));
      // An odd last byte of UTF-16 is half a unit: it stays.
      const whole = scanned * unit;
      dropped += whole;
      tailBase += whole;
      tail = Buffer.from(left.subarray(whole));
      scanned = 0;
    } else tail = left.length * 4 < bytes.length ? Buffer.from(left) : left;
    return pieces;
  };

  const rest = (): Piece | null => {
    const size = dropped + tail.length;
    if (size === 0) return null;
    if (size > limit) return { kind: 'oversize', base: tailBase - dropped, size, head: dropped > 0 ? head : Buffer.from(tail.subarray(0, headLength)) };
    return { kind: 'records', bytes: tail, base: tailBase, ends: [tail.length] };
  };

  return { push, rest };
};
