/**
 * The thread that reads one database file: a query without an index may take long, and node:sqlite works on the thread that calls it.
 * It gets `Question`s and posts `Answer`s, one for each, in order; at `let go` it closes the file until the next question. Rows cross as
 * arrays of plain values, which costs a fraction of a microsecond each; integers are numbers while these are exact.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { Stored } from './values.ts';

export interface Question {
  readonly sql: string;
  readonly parameters: readonly Stored[];
  readonly maxRows: number;
  /** The row that passes this number of bytes is the last. */
  readonly maxBytes: number;
}

export type Answer =
  | {
      readonly names: readonly string[];
      readonly rows: readonly (readonly Stored[])[];
      readonly sizes: readonly number[];
      /** Rows were left, for one of the two bounds. */
      readonly isFull: boolean;
    }
  | { readonly failed: { readonly message: string; readonly errcode: number | null } };

const { path, busyTimeout } = workerData as { path: string; busyTimeout: number };
let connection: DatabaseSync | null = null;
const statements = new Map<string, StatementSync>();

const open = (): DatabaseSync => {
  if (connection !== null) return connection;
  connection = new DatabaseSync(path, { readOnly: true, timeout: busyTimeout });
  connection.exec('PRAGMA trusted_schema = OFF');
  return connection;
};

const prepare = (sql: string): StatementSync => {
  let statement = statements.get(sql);
  if (statement === undefined) {
    statement = open().prepare(sql);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    if (statements.size >= 32) statements.clear();
    statements.set(sql, statement);
  }
  return statement;
};

const sizeOf = (value: Stored): number => (typeof value === 'string' ? value.length + 2 : value instanceof Uint8Array ? value.length + 2 : 8);

const answer = ({ sql, parameters, maxRows, maxBytes }: Question): Answer => {
  const statement = prepare(sql);
  const rows: Stored[][] = [];
  const sizes: number[] = [];
  let bytes = 0;
  let isFull = false;
  for (const found of statement.iterate(...parameters) as Iterable<unknown> as Iterable<Stored[]>) {
    // The row behind the last one tells that there are more.
    if (rows.length >= maxRows || bytes >= maxBytes) {
      isFull = true;
      break;
    }
    let size = 0;
    for (let index = 0; index < found.length; index += 1) {
      const value = found[index] as Stored;
      if (typeof value === 'bigint' && value >= -9007199254740991n && value <= 9007199254740991n) found[index] = Number(value);
      size += sizeOf(value);
    }
    rows.push(found);
    sizes.push(size);
    bytes += size;
  }
  return { names: statement.columns().map(({ name }) => name), rows, sizes, isFull };
};

const letGo = (): void => {
  statements.clear();
  connection?.close();
  connection = null;
};

parentPort?.on('message', (question: Question | 'let go') => {
  if (question === 'let go') {
    letGo();
    return;
  }
  let said: Answer;
  try {
    said = answer(question);
  } catch (error) {
    const errcode = error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : null;
    said = { failed: { message: error instanceof Error ? error.message : String(error), errcode } };
  }
  parentPort?.postMessage(said);
});
