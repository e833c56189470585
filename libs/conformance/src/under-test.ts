/**
 * What a connector supplies to the conformance suite: `libs/connectors/src/<slug>/conformance.ts` exports `conformance: Conformance`,
 * and `<slug>.int.test.ts` beside it runs `describeConnector(manifest, conformance)`. Real servers only.
 */
import type { Column, Row, Value } from '@tributary/contracts/types';

/** As a user would write it; the suite parses it with the manifest's schema. */
export type RawConfig = Readonly<Record<string, unknown>>;

/** A config that must fail its connection test. */
export interface BrokenConfig {
  /** For the test's name: `a wrong password`. */
  readonly why: string;
  readonly config: RawConfig;
  /** Name of the step that must be the failing one. */
  readonly step: string;
  /** Must occur in the step's message: the host, the table… */
  readonly says?: string;
}

/** A rejected row as it lies in the error table. */
export interface ErrorRow {
  readonly code: string;
  readonly reason: string;
  readonly payload: string;
  readonly origin: Readonly<Record<string, unknown>>;
}

/** What a golden stream may need of a target. */
export type TargetNeed = 'upsert' | 'delete' | 'binary' | 'undeclared' | 'odd-names';

export interface TargetUnderTest {
  readonly config: RawConfig;
  readonly broken: readonly BrokenConfig[];
  /**
   * What the target can do. Streams that need more are skipped.
   * - `upsert`: rows with a key replace each other; `delete`: they can be deleted.
   * - `binary`: BINARY columns. `undeclared`: columns that nobody declared come with the rows. `odd-names`: any characters in column names.
   */
  readonly supports: readonly TargetNeed[];
  /**
   * All rows that a reader sees in the table now, in any order, as the values of the contract (`libs/contracts/src/types.ts`);
   * `columns` says which types are wanted. For a log (a topic): what is left when the last record of each key counts, or every record without a key.
   * An absent table has no rows. Columns that the connector adds for itself are left out.
   */
  readonly readBack: (table: string, columns: readonly Column[], primaryKey: readonly string[]) => Promise<Row[]>;
  /** All rows of an error table, in any order; an absent one has none. */
  readonly readErrors: (errorTable: string) => Promise<ErrorRow[]>;
  /** A row for a table of the columns `id` LONG (key) and `note` STRING that the target itself refuses, such as one with a NUL; absent when it takes all. */
  readonly refusedNote?: Value;
  /** Clears a table's name of what is not allowed; default: as it is. Names look like `conformance_x1_types`. */
  readonly nameOf?: (table: string) => string;
}

export interface SourceUnderTest {
  readonly broken: readonly BrokenConfig[];
  /**
   * Makes a new stream of the columns and rows, in this order, and the config that reads it.
   * Columns are `id` LONG, `name` STRING, `amount` DECIMAL, `at` UTC_DATETIME (rising with `id`, several rows share one instant).
   */
  readonly seed: (
    stream: string,
    rows: readonly Row[],
    columns: readonly Column[],
    primaryKey: readonly string[],
  ) => Promise<{ readonly config: RawConfig; readonly stream: string | null }>;
  /** Adds rows behind those of a seeded stream; needed of sources that are `continuous`. */
  readonly append?: (stream: string, rows: readonly Row[], columns: readonly Column[]) => Promise<void>;
  /** A row as read → the row as seeded, for sources that wrap it (topic metadata) or know text only (CSV). Default: as it is. */
  readonly unwrap?: (row: Row, columns: readonly Column[]) => Row;
}

export interface ConnectorUnderTest {
  readonly source?: SourceUnderTest;
  readonly target?: TargetUnderTest;
  /** Closes what `setup` opened; servers of `testServers()` end by themselves. */
  readonly close: () => Promise<void>;
}

export interface Conformance {
  /** Called once, before the first test. */
  readonly setup: () => Promise<ConnectorUnderTest>;
  /** Tests that do not apply, by name, each with the reason, which the report shows. */
  readonly skip?: Readonly<Record<string, string>>;
  /** Set for systems that no server can be had for: nothing but the manifest is tested, and the report says why. */
  readonly notExercised?: string;
}

/** Ends a test that does not apply to what the connector can do; the report shows the reason. */
export type Skip = (reason: string) => never;

/** A test of the suite; skipped, with the reason in its name, when the connector says so. */
export type Check = (name: string, run: (skip: Skip) => Promise<void>, timeout?: number) => void;
