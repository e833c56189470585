/**
 * What flows from source to target: batches of ops, bounded in rows and bytes, each with the position that is reached once it is durable.
 */
import type { Row, StreamSchema } from './types.ts';

/** `upsert` carries the whole row; `delete` carries at least the key columns. */
export type OpKind = 'upsert' | 'delete';

/**
 * Where a source stands: part of the source (a partition, a file, a cursor name) → exact position in it as text.
 * Opaque to all but the source that made it; always JSON-safe. I5: the text keeps the source's exact value.
 */
export type Position = Readonly<Record<string, string>>;

/** Where one row came from, e.g. `{topic: 'orders', partition: 3, offset: '9182'}`. For people and for re-reading; JSON-safe. */
export type Origin = Readonly<Record<string, string | number>>;

/** A row that cannot go on, as it lands in the error table. */
export interface RejectedRow {
  readonly code: 'ROW_UNREADABLE' | 'ROW_TOO_LARGE' | 'CAST_FAILED' | 'VALUE_MISSING' | 'ROW_REFUSED';
  /** A sentence that names column and value, e.g. `Column "magnitude": "strong" is not a float.` */
  readonly reason: string;
  /** The row as it was read, as JSON text with bytes in it as base64; for unreadable bytes the text, or base64 behind `base64:`. At most 64 KiB. */
  readonly payload: string;
  readonly origin: Origin;
}

/** Decoded rows. The engine owns the arrays after they are handed over. */
export interface RowBatch {
  readonly kind: 'rows';
  readonly rows: Row[];
  /** The op of each row; absent when all are upserts. */
  readonly ops?: OpKind[];
  /** The origin of the row at this index; called for rejected rows only, so it may be slow. */
  readonly originOf: (index: number) => Origin;
  /** Records that the source itself could not read. */
  readonly unreadable: readonly RejectedRow[];
  /** Reached once all rows are durable. */
  readonly position: Position;
  /** Memory weight in bytes, for credits: the encoded size at the source is close enough. */
  readonly bytes: number;
  /** Epoch milliseconds at which the source made the newest record; null where it does not say. */
  readonly newestAt: number | null;
  /** Present when the stream's schema is first known or changed. */
  readonly schema?: StreamSchema;
}

/** One Kafka record as it was read, untouched. */
export interface KafkaRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, Buffer | string | (Buffer | string)[] | undefined>>;
  /** Epoch milliseconds as text. */
  readonly timestamp?: string;
}

/** The payload of each encoded format. Chunks of `pg-copy-text` and `ndjson` hold whole lines. */
export interface EncodedPayloads {
  'kafka-records': KafkaRecord[];
  ndjson: Uint8Array[];
  csv: Uint8Array[];
  'pg-copy-text': Uint8Array[];
  'pg-copy-binary': Uint8Array[];
}

export type EncodedFormat = keyof EncodedPayloads;

/** Bytes that source and target both understand; passed through untouched when no mapper is in between. */
export type EncodedBatch = {
  [F in EncodedFormat]: {
    readonly kind: 'encoded';
    readonly format: F;
    readonly payload: EncodedPayloads[F];
    /** Records in the payload. */
    readonly count: number;
    readonly position: Position;
    readonly bytes: number;
    readonly newestAt: number | null;
  };
}[EncodedFormat];

export type Batch = RowBatch | EncodedBatch;

/**
 * Totals of a slot since its subscription began; committed with the rows, so they survive any crash exactly.
 * I3: read = mapped + filtered + rejected, and emitted = written + refused.
 */
export interface Counts {
  /** Records taken from the source. */
  readonly read: number;
  /** Records that gave at least one row. */
  readonly mapped: number;
  /** Records that gave no row on purpose. */
  readonly filtered: number;
  /** Records rejected by the source or the mapper. */
  readonly rejected: number;
  /** Rows handed to the target. */
  readonly emitted: number;
  /** Rows durable in the target. */
  readonly written: number;
  /** Rows the target rejected. */
  readonly refused: number;
  /** Bytes read, by the weight of the batches. */
  readonly bytes: number;
}

export const noCounts: Counts = { read: 0, mapped: 0, filtered: 0, rejected: 0, emitted: 0, written: 0, refused: 0, bytes: 0 };

export const addCounts = (a: Counts, b: Counts): Counts => ({
  read: a.read + b.read,
  mapped: a.mapped + b.mapped,
  filtered: a.filtered + b.filtered,
  rejected: a.rejected + b.rejected,
  emitted: a.emitted + b.emitted,
  written: a.written + b.written,
  refused: a.refused + b.refused,
  bytes: a.bytes + b.bytes,
});

/** I3: do both balances hold? */
export const balances = (c: Counts): boolean => c.read === c.mapped + c.filtered + c.rejected && c.emitted === c.written + c.refused;

/** What is committed in the target with the rows (I2). */
export interface Checkpoint {
  readonly position: Position;
  readonly counts: Counts;
}

/** One slice of one subscription: the unit that is leased, fenced and checkpointed. */
export interface Slot {
  readonly pipelineId: string;
  readonly subscriptionId: string;
  readonly slice: number;
  readonly slices: number;
}

/** `<subscription>-<slices>-<slice>`: no ':' since BullMQ refuses it in job ids. */
export const slotId = (slot: Slot): string => `${slot.subscriptionId}-${slot.slices}-${slot.slice}`;
