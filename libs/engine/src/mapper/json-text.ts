/** JSON that keeps 64-bit integers: JSON.parse and JSON.stringify, but integers beyond 2^53 are bigints on our side. */
import type { Value } from '@tributary/contracts/types';

const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** Only a run of 16 digits can be an integer that a double does not hold. */
const mayHoldBigInteger = /\d{16}/;
const integer = /^-?\d+$/;

/** @throws SyntaxError */
export const parseJson = (text: string): Value => {
  if (!mayHoldBigInteger.test(text)) return JSON.parse(text) as Value;
  return JSON.parse(text, keepBigIntegers as (this: unknown, key: string, value: unknown) => unknown) as Value;
};

const keepBigIntegers = (_key: string, value: unknown, context: { readonly source?: string }): unknown =>
  typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) && context.source !== undefined && integer.test(context.source)
    ? BigInt(context.source)
    : value;

/** Bytes become text of the form `base64:…`, since JSON has none. */
export const jsonText = (value: Value): string => {
  if (typeof value === 'bigint') return value.toString();
  return JSON.stringify(value, writeBigIntegersAndBytes);
};

function writeBigIntegersAndBytes(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return rawJson(value.toString());
  // A Buffer has become its toJSON() by now; the holder still has the original.
  const original = (this as Record<string, unknown>)[key];
  if (original instanceof Uint8Array) {
    return `base64:${Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString('base64')}`;
  }
  return value;
}
