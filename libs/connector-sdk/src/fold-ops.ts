/** I4: the ops of a delivery, folded so that each key occurs once, with the op that came last. */
import { stringifyExact } from './exact-json.ts';
import type { OpKind } from '@tributary/contracts/ops';
import type { Row, Value } from '@tributary/contracts/types';

export interface FoldedOps {
  /** Indexes of rows to upsert (or append) and to delete; no key is in both, and none twice. */
  readonly upserts: readonly number[];
  readonly deletes: readonly number[];
  /** Index of an op → the op of the same key before it, which stands if the later one is refused. */
  readonly earlier: ReadonlyMap<number, number>;
  /** Rows without a value in a key column: index → the column. */
  readonly keyless: ReadonlyMap<number, string>;
}

export const foldOps = (rows: readonly Row[], ops: readonly OpKind[] | null, primaryKey: readonly string[]): FoldedOps => {
  if (primaryKey.length === 0) return { upserts: [...rows.keys()], deletes: [], earlier: new Map(), keyless: new Map() };
  const last = new Map<string, number>();
  const earlier = new Map<number, number>();
  const keyless = new Map<number, string>();
  const onlyKey = primaryKey.length === 1 ? primaryKey[0] : undefined;
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as Row;
    let key: string;
    if (onlyKey !== undefined) {
      const value = row[onlyKey];
      if (value === null || value === undefined) {
        keyless.set(index, onlyKey);
        continue;
      }
      key = typeof value === 'string' ? value : keyText(value);
    } else {
      const missing = primaryKey.find((name) => row[name] === null || row[name] === undefined);
      if (missing !== undefined) {
        keyless.set(index, missing);
        continue;
      }
      key = '';
      for (const name of primaryKey) {
        const text = keyText(row[name]);
        // With the length in front no two keys give one text.
        key += `${text.length}:${text}`;
      }
    }
    const before = last.get(key);
    if (before !== undefined) earlier.set(index, before);
    last.set(key, index);
  }
  const upserts: number[] = [];
  const deletes: number[] = [];
  for (const index of last.values()) (ops !== null && ops[index] === 'delete' ? deletes : upserts).push(index);
  return { upserts, deletes, earlier, keyless };
};

const keyText = (value: Value | undefined): string => {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');
  return typeof value === 'string' ? value : stringifyExact(value ?? null);
};
