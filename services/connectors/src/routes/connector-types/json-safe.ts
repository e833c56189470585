/** A value as JSON can hold it: integers beyond 2^53 and bytes (base64) as text. */
import type { Value } from '@tributary/contracts/types';

export const jsonSafe = (value: Value): unknown => {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(jsonSafe);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, jsonSafe(inner)]));
  return value;
};
