/** Gathers batches, mapped, into one delivery. Rows go from array to array: nothing is allocated for a row but the row itself. */
import {
  addCounts,
  noCounts,
  type Batch,
  type Counts,
  type EncodedBatch,
  type OpKind,
  type Origin,
  type Position,
  type RejectedRow,
  type RowBatch,
} from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import type { Delivery } from '@tributary/connector-sdk/target';
import { TributaryError } from '@tributary/errors/error';
import type { CompiledMapper } from './mapper/compile.ts';

/** Batches that wait to be delivered, all or none. */
export interface Gathered {
  readonly batches: number;
  /** Rows, or encoded records. */
  readonly rows: number;
  /** By the weight of the batches, as the credits count. */
  readonly bytes: number;
  /** What these batches add to the totals when all rows are written. */
  readonly counts: Counts;
  /** Reached with the last batch. */
  readonly position: Position;
  readonly rejected: readonly RejectedRow[];
  readonly data: Delivery['data'];
  /** The newest record of each batch whose source says when it was made, and how many records stand behind it. */
  readonly made: readonly { readonly newestAt: number; readonly records: number }[];
  /** When the first of them came, on the clock of performance.now(). */
  readonly since: number;
}

export interface Accumulator {
  /** Maps `batch` and adds it as a whole. */
  add(batch: Batch): void;
  readonly batches: number;
  readonly rows: number;
  readonly bytes: number;
  readonly since: number;
  readonly rejected: readonly RejectedRow[];
  /** What was gathered; the accumulator is empty then. */
  take(): Gathered;
}

/** Which records the rows from `firstRow` on came from. */
interface Stretch {
  readonly firstRow: number;
  /** The record of each row; null: one row each, in order. */
  readonly records: readonly number[] | null;
  readonly originOf: (index: number) => Origin;
}

export const createAccumulator = (mapper: CompiledMapper | null): Accumulator => {
  let gathered = empty();

  const addRows = (batch: RowBatch): void => {
    const { rows, rejected } = gathered;
    const firstRow = rows.length;
    const ops = batch.ops ?? null;
    if (ops !== null && gathered.ops === null) gathered.ops = Array.from({ length: firstRow }, () => 'upsert');
    for (const row of batch.unreadable) rejected.push(row);
    const rejectedBefore = rejected.length;
    let filtered = 0;
    let records: number[] | null = null;

    if (mapper === null) {
      // An array of thousands of rows is handed on rather than copied, where it can be.
      if (firstRow === 0) gathered.rows = batch.rows;
      else for (const row of batch.rows) rows.push(row);
    } else {
      records = [];
      for (let index = 0; index < batch.rows.length; index += 1) {
        const row = batch.rows[index];
        if (row === undefined) continue;
        if (!mapper.map(row, ops === null ? 'upsert' : (ops[index] ?? 'upsert'), rows)) {
          rejected.push({ ...mapper.rejection(), payload: cutText(stringifyExact(row)), origin: batch.originOf(index) });
          continue;
        }
        const made = rows.length - firstRow - records.length;
        if (made === 0) filtered += 1;
        for (let n = 0; n < made; n += 1) records.push(index);
      }
    }
    const emitted = gathered.rows.length - firstRow;
    if (gathered.ops !== null) {
      for (let row = 0; row < emitted; row += 1) gathered.ops.push(ops === null ? 'upsert' : (ops[records === null ? row : (records[row] ?? 0)] ?? 'upsert'));
    }
    gathered.stretches.push({ firstRow, records, originOf: batch.originOf });
    const refusedByMapper = rejected.length - rejectedBefore;
    count(batch, {
      read: batch.rows.length + batch.unreadable.length,
      mapped: batch.rows.length - filtered - refusedByMapper,
      filtered,
      rejected: batch.unreadable.length + refusedByMapper,
      emitted,
      written: emitted,
      refused: 0,
      bytes: batch.bytes,
    });
  };

  const count = (batch: Batch, added: Counts): void => {
    gathered.counts = addCounts(gathered.counts, added);
    if (gathered.batches === 0) gathered.since = performance.now();
    gathered.batches += 1;
    gathered.position = batch.position;
    if (batch.newestAt !== null && added.read > 0) gathered.made.push({ newestAt: batch.newestAt, records: added.read });
  };

  return {
    add: (batch) => {
      if (batch.kind === 'rows' ? gathered.encoded.length > 0 : gathered.stretches.length > 0) {
        throw new TributaryError('INTERNAL', 'A source gave rows and encoded batches through one reader.');
      }
      if (batch.kind === 'rows') {
        addRows(batch);
        return;
      }
      gathered.encoded.push(batch);
      count(batch, {
        read: batch.count,
        mapped: batch.count,
        filtered: 0,
        rejected: 0,
        emitted: batch.count,
        written: batch.count,
        refused: 0,
        bytes: batch.bytes,
      });
    },
    get batches() {
      return gathered.batches;
    },
    get rows() {
      return gathered.counts.emitted;
    },
    get bytes() {
      return gathered.counts.bytes;
    },
    get since() {
      return gathered.since;
    },
    get rejected() {
      return gathered.rejected;
    },
    take: () => {
      const { batches, counts, position, rejected, rows, ops, encoded, stretches, made, since } = gathered;
      gathered = empty();
      return {
        batches,
        rows: counts.emitted,
        bytes: counts.bytes,
        counts,
        position,
        rejected,
        data:
          encoded.length > 0
            ? { kind: 'encoded', batches: encoded, count: counts.emitted }
            : { kind: 'rows', rows, ops, originOf: (row) => originIn(stretches, row) },
        made,
        since,
      };
    },
  };
};

interface Gathering {
  batches: number;
  counts: Counts;
  position: Position;
  readonly rejected: RejectedRow[];
  rows: Row[];
  ops: OpKind[] | null;
  readonly encoded: EncodedBatch[];
  readonly stretches: Stretch[];
  readonly made: { newestAt: number; records: number }[];
  since: number;
}

const empty = (): Gathering => ({
  batches: 0,
  counts: noCounts,
  position: {},
  rejected: [],
  rows: [],
  ops: null,
  encoded: [],
  stretches: [],
  made: [],
  since: 0,
});

const originIn = (stretches: readonly Stretch[], row: number): Origin => {
  const stretch = stretches.findLast(({ firstRow }) => firstRow <= row);
  if (stretch === undefined) return {};
  const index = row - stretch.firstRow;
  return stretch.originOf(stretch.records === null ? index : (stretch.records[index] ?? index));
};
