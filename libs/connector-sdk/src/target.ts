/** The contract of a target. */
import type { Checkpoint, Counts, EncodedBatch, EncodedFormat, OpKind, Origin, RejectedRow, Slot } from '@tributary/contracts/ops';
import type { Column, Row } from '@tributary/contracts/types';
import type { CallContext, CheckStep } from './source.ts';

export interface OpenTargetContext extends CallContext {
  /** Table, topic or path to write. */
  readonly table: string;
  readonly slot: Slot;
  /** Grows with every owner of the slot. I2: every commit is conditional on it. */
  readonly epoch: number;
  /** Columns the mapper declares, in order; null: the rows tell, and new columns are added as they come. */
  readonly columns: readonly Column[] | null;
  /** Key columns: rows are upserted by them; none: rows are appended. */
  readonly primaryKey: readonly string[];
  /** Where rejected rows go, beside the data; null: a rejected row ends the slot with REJECTS_EXCEEDED before it is passed over. */
  readonly errorTable: string | null;
}

/** Rows to make durable, all or none of them (but for those in `refused`). */
export interface Delivery {
  /** Rows in source order (I4), or bytes in a format of the target's `formats`. */
  readonly data:
    | { readonly kind: 'rows'; readonly rows: readonly Row[]; readonly ops: readonly OpKind[] | null; readonly originOf: (index: number) => Origin }
    | { readonly kind: 'encoded'; readonly batches: readonly EncodedBatch[]; readonly count: number };
  /** Rows that source or mapper rejected on the way; to be written to the error table in the same commit. */
  readonly rejected: readonly RejectedRow[];
  /** The checkpoint to commit if all rows are written; the target moves rows it refuses from `written` to `refused` (see `withRefused`). */
  readonly checkpoint: Checkpoint;
}

export interface DeliveryResult {
  /** What was committed in the end. */
  readonly checkpoint: Checkpoint;
  /** Rows the target would not take (already in the error table). */
  readonly refused: readonly RejectedRow[];
}

/** The counts of a delivery in which the target refused `refused` rows after all. */
export const withRefused = (counts: Counts, refused: number): Counts => ({
  ...counts,
  written: counts.written - refused,
  refused: counts.refused + refused,
});

export interface Target {
  readonly formats: readonly EncodedFormat[];
  /**
   * Claims the slot at the context's epoch, fencing every older owner of it and of every other layout of the subscription's slices,
   * and only then reads the checkpoints: own and others', all of one subscription. Creates what is missing (table, topic, checkpoint store).
   * @throws FENCED when a newer epoch has claimed it.
   */
  claim(): Promise<{ readonly own: Checkpoint | null; readonly others: readonly Checkpoint[] }>;
  /**
   * I1, I2: makes rows, rejected rows and checkpoint durable in one commit, conditional on the epoch.
   * Repeating a delivery whose outcome is unknown is the caller's right after a new claim only.
   * @throws FENCED when the slot has a newer owner; nothing was written then.
   */
  deliver(delivery: Delivery): Promise<DeliveryResult>;
  close(): Promise<void>;
}

export interface TargetConnector<Config> {
  check(config: Config, context: CallContext): Promise<CheckStep[]>;
  open(config: Config, context: OpenTargetContext): Promise<Target>;
}
