/** One visit to one file: its records from where the last visit ended to the end the file has now. */
import { open, type FileHandle } from 'node:fs/promises';
import type { Origin, RejectedRow } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { inflatedChunks, plainChunks, type Chunks } from './chunks.ts';
import { csvColumns, csvDecoder } from './csv-rows.ts';
import { recordBytes, type Decoder } from './decode.ts';
import type { FileLayout } from './file-format.ts';
import { jsonLinesDecoder } from './json-lines.ts';
import { fingerprint, type Progress } from './position.ts';
import { createSplitter, type Piece, type Splitter } from './splitter.ts';
import { byteOrderMark, payloadOf, unitOf } from './text.ts';

/** Longest record in bytes; longer ones are rejected without being kept in memory. */
export const recordLimit = 8 * 1024 * 1024;

export interface Taken {
  readonly rows: Row[];
  readonly originOf: (index: number) => Origin;
  readonly unreadable: readonly RejectedRow[];
  readonly bytes: number;
  readonly progress: Progress;
}

export interface FileRecords {
  /** Column names of a CSV file; null for JSON lines. */
  readonly columns: readonly string[] | null;
  /** The next records, at most so many and of about so many bytes; null at the end of the visit. */
  take(maxRecords: number, maxBytes: number): Promise<Taken | null>;
  close(): Promise<void>;
}

export interface Visit {
  readonly absolute: string;
  /** Relative path, for origins and messages. */
  readonly path: string;
  readonly layout: FileLayout;
  readonly from: Progress;
  /** Take a last line without newline too, since nobody will finish it. */
  readonly final: boolean;
}

const splitterFor = (layout: FileLayout, base: number): Splitter =>
  createSplitter(
    {
      unit: unitOf(layout.encoding),
      quoting: layout.format === 'csv' && layout.quote !== null ? { delimiter: layout.delimiter.charCodeAt(0), quote: layout.quote.charCodeAt(0) } : null,
      limit: recordLimit,
    },
    base,
  );

/** The next pieces of records out of chunks; null at the end. */
const pieceReader = (chunks: Chunks, splitter: Splitter, takeRest: boolean): (() => Promise<Piece | null>) => {
  const waiting: Piece[] = [];
  let ended = false;
  return async () => {
    for (;;) {
      const piece = waiting.shift();
      if (piece !== undefined) return piece;
      if (ended) return null;
      const chunk = await chunks.read();
      if (chunk !== null) waiting.push(...splitter.push(chunk));
      else {
        ended = true;
        const rest = takeRest ? splitter.rest() : null;
        if (rest !== null) waiting.push(rest);
      }
    }
  };
};

/** Opens the file for one visit; null when it has no complete first line yet, which a CSV file needs. */
export const openRecords = async (visit: Visit): Promise<FileRecords | null> => {
  const handle = await open(visit.absolute, 'r');
  try {
    const records = visit.layout.compression === 'none' ? await visitPlain(handle, visit) : await visitCompressed(handle, visit, visit.layout.compression);
    if (records === null) await handle.close();
    return records;
  } catch (error) {
    await handle.close();
    throw error;
  }
};

const bomOf = (start: Buffer, { path, layout }: Visit): number => {
  const mark = byteOrderMark(start, layout.encoding);
  if (mark === 'other')
    throw new TributaryError(
      'CONFIG_INVALID',
      `File "${path}" begins with the byte order mark of another encoding than ${layout.encoding}; set "encoding" to what it is.`,
    );
  return mark;
};

/** Drops the byte order mark from the first chunk. */
const withoutBom = (chunks: Chunks, visit: Visit): Chunks => {
  let first = true;
  return {
    close: () => chunks.close(),
    read: async () => {
      const chunk = await chunks.read();
      if (!first || chunk === null) return chunk;
      first = false;
      return chunk.subarray(bomOf(chunk, visit));
    },
  };
};

const columnsOf = (piece: Piece, { path, layout }: Visit): string[] => {
  if (piece.kind === 'oversize')
    throw new TributaryError(
      'CONFIG_INVALID',
      `The first line of file "${path}" is longer than ${recordLimit} bytes; it is no CSV file with this delimiter and quote.`,
    );
  try {
    return csvColumns(
      recordBytes(piece, 0, unitOf(layout.encoding)),
      { delimiter: layout.delimiter, quote: layout.quote, encoding: layout.encoding },
      layout.header,
    );
  } catch (error) {
    throw new TributaryError(
      'CONFIG_INVALID',
      `The first line of CSV file "${path}" does not parse: ${messageOf(error)}. Check delimiter, quote and encoding.`,
      { cause: error },
    );
  }
};

const decoderFor = ({ layout }: Visit, columns: readonly string[] | null): Decoder =>
  columns === null ? jsonLinesDecoder(layout.encoding) : csvDecoder({ delimiter: layout.delimiter, quote: layout.quote, encoding: layout.encoding }, columns);

interface Stand {
  /** Offset after the last record taken. */
  readonly offset: number;
  /** Records taken in this visit, skipped ones included. */
  readonly records: number;
  readonly ended: boolean;
}

interface Taking {
  readonly visit: Visit;
  readonly columns: readonly string[] | null;
  readonly next: () => Promise<Piece | null>;
  /** Records to pass over before the first. */
  readonly skip: number;
  readonly startOffset: number;
  readonly progressAt: (stand: Stand) => Promise<Progress>;
  readonly originAt: (offset: number, record: number) => Origin;
  /** Whether a read error means damaged contents, to be said in a rejected row. */
  readonly damage: (error: unknown) => string | null;
  readonly close: () => Promise<void>;
}

const takeRecords = (taking: Taking): FileRecords => {
  const { visit, skip, progressAt, originAt, next } = taking;
  const decoder = decoderFor(visit, taking.columns);
  let piece: Piece | null = null;
  /** First record of the piece not yet taken. */
  let at = 0;
  let records = 0;
  let offset = taking.startOffset;
  let ended = false;

  const take = async (maxRecords: number, maxBytes: number): Promise<Taken | null> => {
    if (ended) return null;
    const unreadable: RejectedRow[] = [];
    for (;;) {
      if (piece === null || (piece.kind === 'records' && at >= piece.ends.length)) {
        at = 0;
        try {
          piece = await next();
        } catch (error) {
          const reason = taking.damage(error);
          if (reason === null) throw error;
          unreadable.push({ code: 'ROW_UNREADABLE', reason, payload: '', origin: originAt(offset, records) });
          piece = null;
          ended = true;
          return { rows: [], originOf: () => originAt(offset, records), unreadable, bytes: 0, progress: await progressAt({ offset, records, ended }) };
        }
        if (piece === null) {
          ended = true;
          const progress = await progressAt({ offset, records, ended });
          // The end itself is worth remembering for compressed files, which would be inflated anew otherwise.
          return progress.done && !visit.from.done ? { rows: [], originOf: () => originAt(offset, records), unreadable, bytes: 0, progress } : null;
        }
      }
      if (piece.kind === 'oversize') {
        const { base, size, head } = piece;
        piece = null;
        records += 1;
        offset = base + size;
        if (records <= skip) continue;
        unreadable.push({
          code: 'ROW_TOO_LARGE',
          reason: `The record is ${size} bytes long; the limit is ${recordLimit}.`,
          payload: payloadOf(head, visit.layout.encoding),
          origin: originAt(base, records - 1),
        });
        return {
          rows: [],
          originOf: () => originAt(base, records - 1),
          unreadable,
          bytes: head.length,
          progress: await progressAt({ offset, records, ended }),
        };
      }
      const whole = piece;
      const from = at + Math.min(Math.max(skip - records, 0), whole.ends.length - at);
      records += from - at;
      at = from;
      if (at >= whole.ends.length) {
        offset = whole.base + (whole.ends.at(-1) ?? 0);
        continue;
      }
      const start = at === 0 ? 0 : (whole.ends[at - 1] ?? 0);
      let to = at + 1;
      while (to < whole.ends.length && to - at < maxRecords && (whole.ends[to] ?? 0) - start <= maxBytes) to += 1;
      const decoded = decoder.decode(whole, at, to);
      const firstRecord = records - at;
      const originOfRecord = (record: number): Origin => originAt(whole.base + (record === 0 ? 0 : (whole.ends[record - 1] ?? 0)), firstRecord + record);
      records += to - at;
      at = to;
      offset = whole.base + (whole.ends[to - 1] ?? 0);
      return {
        rows: decoded.rows,
        originOf: (index) => originOfRecord(decoded.records[index] ?? 0),
        unreadable: decoded.unreadable.map(({ record, code, reason, payload }) => ({ code, reason, payload, origin: originOfRecord(record) })),
        bytes: (whole.ends[to - 1] ?? 0) - start,
        progress: await progressAt({ offset, records, ended }),
      };
    }
  };

  return { columns: taking.columns, take, close: taking.close };
};

const visitPlain = async (handle: FileHandle, visit: Visit): Promise<FileRecords | null> => {
  const { layout, path, from } = visit;
  const { size } = await handle.stat();
  const start = Buffer.alloc(4);
  await handle.read(start, 0, 4, 0);
  const bom = bomOf(start, visit);
  let begin = bom;
  let columns: string[] | null = null;
  if (layout.format === 'csv') {
    const first = await pieceReader(plainChunks(handle, bom, size, 64 * 1024), splitterFor(layout, bom), visit.final)();
    if (first === null) return null;
    columns = columnsOf(first, visit);
    if (layout.header) begin = bom + (first.kind === 'records' ? (first.ends[0] ?? 0) : first.size);
  }
  const startOffset = Math.max(begin, from.read);
  return takeRecords({
    visit,
    columns,
    next: pieceReader(plainChunks(handle, startOffset, size), splitterFor(layout, startOffset), visit.final),
    skip: 0,
    startOffset,
    progressAt: async ({ offset }) => ({ read: offset, of: offset, sha: await fingerprint(handle, offset), generation: from.generation, done: false }),
    originAt: (offset) => ({ path, offset: String(offset) }),
    damage: () => null,
    close: () => handle.close(),
  });
};

const visitCompressed = async (handle: FileHandle, visit: Visit, compression: 'gzip' | 'zstd'): Promise<FileRecords | null> => {
  const { layout, path, from, final } = visit;
  const { size } = await handle.stat();
  const sha = await fingerprint(handle, size);
  const chunks = withoutBom(inflatedChunks(handle, size, compression), visit);
  const next = pieceReader(chunks, splitterFor(layout, 0), true);
  const close = async (): Promise<void> => {
    await chunks.close();
    await handle.close();
  };
  const damage = (error: unknown): string | null => {
    if (error instanceof TributaryError || !(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null;
    if (!/^(Z_|ZSTD_|ERR_ZSTD)/.test(error.code)) return null;
    // A file still being written is cut off too: it is looked at again once it has grown.
    if (!final && isCutOff(error)) return null;
    return `The file is cut off or damaged: ${error.message}.`;
  };
  const begun = { of: size, sha, generation: from.generation };
  let columns: string[] | null = null;
  let held: Piece | null = null;
  let broken: Error | null = null;
  if (layout.format === 'csv') {
    try {
      held = await next();
    } catch (error) {
      if (damage(error) === null) {
        await chunks.close();
        if (isCutOff(error)) return null;
        throw error;
      }
      broken = error instanceof Error ? error : new Error(messageOf(error));
    }
    if (held === null && broken === null) {
      await chunks.close();
      return null;
    }
    columns = held === null ? [] : columnsOf(held, visit);
  }
  return takeRecords({
    visit,
    columns,
    next: async () => {
      if (broken !== null) throw broken;
      const piece = held ?? (await next());
      held = null;
      return piece;
    },
    skip: Math.max(from.read, layout.format === 'csv' && layout.header ? 1 : 0),
    startOffset: 0,
    progressAt: async ({ records, ended }) => ({ ...begun, read: Math.max(records, from.read), done: ended }),
    originAt: (_offset, record) => ({ path, record: record + 1 }),
    damage,
    close,
  });
};

/** A compressed file that ends too early, such as one still being written. */
export const isCutOff = (error: unknown): boolean =>
  error instanceof Error && /unexpected end/i.test(error.message) && 'code' in error && /^(Z_|ZSTD_|ERR_ZSTD)/.test(String(error.code));
