/** The contract of a source. Implementations may assume one caller: the engine calls `next` again only after the last call settled. */
import type { Batch, EncodedFormat, Position } from '@tributary/contracts/ops';
import type { Row, StreamSchema } from '@tributary/contracts/types';

/** Lines for the log of the pipeline; never secrets. */
export interface ConnectorLog {
  debug(message: string, facts?: Readonly<Record<string, unknown>>): void;
  info(message: string, facts?: Readonly<Record<string, unknown>>): void;
  warn(message: string, facts?: Readonly<Record<string, unknown>>): void;
}

/** What every call that reaches out gets. */
export interface CallContext {
  readonly log: ConnectorLog;
  /** Aborted: give up at once, close what is open, throw the signal's reason. */
  readonly signal: AbortSignal;
}

/** One named step of a connection test, in the order they were made; the first failure ends the test. */
export interface CheckStep {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  readonly milliseconds: number;
}

export interface StreamInfo {
  readonly name: string;
  readonly schema: StreamSchema | null;
}

export interface OpenSourceContext extends CallContext {
  /** Table, topic or path to read; null: the one the config names. */
  readonly stream: string | null;
  /** For group ids and replication slot names: stable for the life of the subscription. */
  readonly consumerId: string;
  readonly slice: number;
  readonly slices: number;
  /** `continuous` waits for more data; `once` ends with the data there is. */
  readonly mode: 'continuous' | 'once';
  /** Start at the earliest data instead of at `startedAt`; looked at only where no checkpoint exists. */
  readonly backfill: boolean;
  /**
   * When a user first asked for this data. Without backfill a source that can tell gives what came after it, also when it was opened
   * later or its stream was not there yet; others begin at what there is now.
   */
  readonly startedAt: Date;
  /**
   * Fields of the record that the target's key is made of, in the key's order, where each is taken as it is and cast; null or left out:
   * there is no such key. For sources whose deletes carry the bare values of a key.
   */
  readonly keyFields?: readonly string[] | null;
}

export interface ReadOptions {
  /** `rows`, or one of the source's `formats` that the target takes. Fixed for the life of the reader. */
  readonly format: 'rows' | EncodedFormat;
  /** A batch holds at most so many rows and about so many bytes; one larger row makes a batch of its own. */
  readonly maxRows: number;
  readonly maxBytes: number;
}

export interface Reader {
  /**
   * The next batch; `idle` when a moment passed without data (so that the caller can commit or stop); `end` in mode `once` after the last.
   * Nothing is fetched beyond a bounded look-ahead until it is called: not calling it is back-pressure.
   * Transient trouble is retried inside for up to 30 s; what is thrown ends the slot.
   */
  next(signal: AbortSignal): Promise<Batch | 'idle' | 'end'>;
}

export interface Source {
  /** Encoded formats this source can hand on untouched. */
  readonly formats: readonly EncodedFormat[];
  /** What is known of the stream before reading; null when only the data tells. */
  schema(): Promise<StreamSchema | null>;
  /** Where a subscription without a checkpoint begins; saved before anything is read, so that a crash cannot move it. */
  firstPosition(): Promise<Position>;
  /** The furthest of several positions, part by part: used when slices were laid out anew. */
  mergePositions(positions: readonly Position[]): Position;
  /** Reads on from exactly `from`. Parts of the source that `from` does not name (new partitions, new files) are read from their beginning. */
  read(from: Position, options: ReadOptions): Reader;
  /** After `position` is durable in the target: for the source's own lag figures, or to let it free what it kept. Failure is logged, never fatal. */
  committed?(position: Position): Promise<void>;
  /** Records beyond `position`; null where the source cannot say. */
  lag?(position: Position): Promise<number | null>;
  close(): Promise<void>;
}

export interface SourceConnector<Config> {
  /** Tries the config as a user would use it. Never throws for a wrong config: the failing step says it. */
  check(config: Config, context: CallContext): Promise<CheckStep[]>;
  /** Tables, topics or files that could be read, by name. */
  streams(config: Config, context: CallContext): Promise<StreamInfo[]>;
  /** Up to `limit` of the newest rows, for a preview. */
  sample(config: Config, context: CallContext & { readonly stream: string | null; readonly limit: number }): Promise<Row[]>;
  open(config: Config, context: OpenSourceContext): Promise<Source>;
}
