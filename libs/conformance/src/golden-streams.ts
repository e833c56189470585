/**
 * The golden op streams of `libs/conformance/streams`. A file is JSON lines: first the head `{about, columns, primaryKey, needs}`, then
 * `{"upsert": row}`, `{"delete": row}`, `{"commit": true}` (end of a delivery) and `{"expect": row}` for each row that must be there at the end.
 * Numbers that no double holds are read as contracts/types.ts says; `{"$base64": "…"}` is bytes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseExact } from '@tributary/connector-sdk/exact-json';
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

const withBytes = (value: Value): Value => {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || JSON.isRawJSON(value)) return value;
  if (Array.isArray(value)) return value.map(withBytes);
  if (typeof value['$base64'] === 'string') return new Uint8Array(Buffer.from(value['$base64'], 'base64'));
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, withBytes(part)]));
};

export const parseLossless = (text: string): Value => withBytes(parseExact(text));

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
