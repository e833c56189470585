/** JSON that keeps integers beyond 2^53, both ways (https://tc39.es/proposal-json-parse-with-source/). */
import type { Value } from '@tributary/contracts/types';

interface RawJson {
  rawJSON(text: string): unknown;
}

const keepBigint = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? (JSON as unknown as RawJson).rawJSON(String(value)) : value);

export const writeJson = (value: Value | undefined): string => {
  try {
    return JSON.stringify(value) ?? 'null';
  } catch {
    // A bigint somewhere inside.
    return JSON.stringify(value, keepBigint) ?? 'null';
  }
};

const reviveBigint = (_key: string, value: unknown, context: { readonly source?: string }): unknown => {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || context.source === undefined || !/^-?\d+$/.test(context.source)) return value;
  return BigInt(context.source);
};

const parse = JSON.parse as (text: string, reviver?: typeof reviveBigint) => Value;

export const readJson = (text: string): Value => (/\d{16}/.test(text) ? parse(text, reviveBigint) : parse(text));
