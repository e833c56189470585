/**
 * The golden op streams of `libs/conformance/streams`. A file is JSON lines: first the head `{about, columns, primaryKey, needs}`, then
 * `{"upsert": row}`, `{"delete": row}`, `{"commit": true}` (end of a delivery) and `{"expect": row}` for each row that must be there at the end.
 * Integers beyond 2^53 are read as bigint; `{"$base64": "…"}` is bytes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { OpKind } from '@tributary/contracts/ops';
import type { Column, Row, Value } from '@tributary/contracts/types';
import type { TargetNeed } from './under-test.ts';

export interface GoldenStream {
  readonly name: string;
  readonly about: string;
  readonly columns: readonly Column[];
  readonly primaryKey: readonly string[];
  readonly needs: readonly TargetNeed[];
  readonly deliveries: readonly { readonly rows: Row[]; readonly ops: OpKind[] }[];
  readonly expected: Row[];
}

interface Head {
  readonly about: string;
  readonly columns: Column[];
  readonly primaryKey: string[];
  readonly needs: TargetNeed[];
}

interface Line {
  readonly upsert?: Row;
  readonly delete?: Row;
  readonly commit?: true;
  readonly expect?: Row;
}

const folder = new URL('../streams/', import.meta.url);

/** ECMAScript's `JSON.parse` hands a reviver the source text of each primitive, so that no integer passes through a double. */
const revive = (_key: string, value: unknown, context: { source?: string }): unknown => {
  if (typeof value === 'number' && context.source !== undefined && /^-?\d+$/.test(context.source) && !Number.isSafeInteger(value))
    return BigInt(context.source);
  if (typeof value === 'object' && value !== null && '$base64' in value) return new Uint8Array(Buffer.from(String(value.$base64), 'base64'));
  return value;
};

export const parseLossless = (text: string): Value => JSON.parse(text, revive as (key: string, value: unknown) => unknown) as Value;

export const goldenStreams = (): GoldenStream[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.jsonl'))
    .sort()
    .map((file) => readStream(file));

const readStream = (file: string): GoldenStream => {
  const [first = '', ...rest] = readFileSync(new URL(file, folder), 'utf8').trimEnd().split('\n');
  const head = parseLossless(first) as unknown as Head;
  const deliveries: { rows: Row[]; ops: OpKind[] }[] = [];
  const expected: Row[] = [];
  let rows: Row[] = [];
  let ops: OpKind[] = [];
  for (const text of rest) {
    const line = parseLossless(text) as unknown as Line;
    if (line.expect !== undefined) expected.push(line.expect);
    if (line.upsert !== undefined) {
      rows.push(line.upsert);
      ops.push('upsert');
    }
    if (line.delete !== undefined) {
      rows.push(line.delete);
      ops.push('delete');
    }
    if (line.commit !== undefined) {
      deliveries.push({ rows, ops });
      rows = [];
      ops = [];
    }
  }
  return { name: file.replace(/\.jsonl$/, ''), ...head, deliveries, expected };
};
