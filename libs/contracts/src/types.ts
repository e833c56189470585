/** The type system that every source maps into and every target maps out of (the 15 types, plus "undeclared" = no entry). */
export type ColumnType =
  | { readonly kind: 'BOOLEAN' | 'SHORT' | 'INT' | 'LONG' | 'FLOAT' | 'DOUBLE' }
  | { readonly kind: 'DECIMAL'; readonly precision: number | null; readonly scale: number | null }
  | { readonly kind: 'NAIVE_DATE' | 'NAIVE_TIME' | 'NAIVE_DATETIME' | 'UTC_DATETIME' }
  | { readonly kind: 'BINARY' | 'XML' | 'STRING' | 'JSON' };

export type ColumnKind = ColumnType['kind'];

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * A decoded value. `null` is a value that is null; a key that is absent from the row is missing: the two differ.
 *
 * | type | JavaScript |
 * |---|---|
 * | BOOLEAN | boolean |
 * | SHORT INT | number |
 * | LONG | number while it is a safe integer, else bigint |
 * | DECIMAL | string, plain notation: `-12.340`; also undeclared, for a number of the row itself that no double holds |
 * | FLOAT DOUBLE | number |
 * | NAIVE_DATE | `2024-01-31` |
 * | NAIVE_TIME | `12:34:56.123456` (fraction optional) |
 * | NAIVE_DATETIME | `2024-01-31T12:34:56.123456` (fraction optional) |
 * | UTC_DATETIME | `2024-01-31T12:34:56.123456Z` (fraction optional) |
 * | BINARY | Uint8Array |
 * | XML STRING | string |
 * | JSON | what JSON.parse gives, where integers beyond 2^53 are bigint, and other numbers that no double holds JSON.rawJSON of their text |
 *
 * A decimal inside a document is no string, since a target could not tell it from a text: a number that was read must be written as one.
 * Raw JSON is what JSON.stringify writes back digit by digit. Whatever takes a value out of a document makes it a DECIMAL of the row.
 */
export type Value = null | boolean | number | bigint | string | Uint8Array | Value[] | { [key: string]: Value };

export type Row = Record<string, Value>;

export interface Column {
  readonly name: string;
  /** null: undeclared; the target's own column decides, else the values do. */
  readonly type: ColumnType | null;
  readonly nullable: boolean;
}

/** What is known of a stream before reading it. `columns` null: only the rows tell. */
export interface StreamSchema {
  readonly stream: string;
  readonly columns: readonly Column[] | null;
  readonly primaryKey: readonly string[];
}
