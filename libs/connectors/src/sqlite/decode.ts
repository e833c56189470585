/** SQLite's values to those of the contract. Any column may hold any value there, so each is held against what its column promises. */
import { parseExact, plainNotation } from '@tributary/connector-sdk/exact-json';
import type { Value } from '@tributary/contracts/types';
import { columnTypeOf } from './column-types.ts';
import type { Stored } from './values.ts';

/** undefined: not what the column promises. Never called with null. */
export type Decode = (value: Exclude<Stored, null>) => Value | undefined;

const asIs: Decode = (value) => value;
const text: Decode = (value) => (typeof value === 'string' ? value : undefined);

const document: Decode = (value) => {
  if (typeof value === 'number' || typeof value === 'bigint') return value;
  if (typeof value !== 'string') return undefined;
  try {
    return parseExact(value);
  } catch {
    return undefined;
  }
};

const decimal: Decode = (value) => {
  if (value instanceof Uint8Array || (typeof value === 'number' && !Number.isFinite(value))) return undefined;
  const plain = plainNotation(String(value));
  return /^-?\d+(\.\d+)?$/.test(plain) ? plain : undefined;
};

export const decoderOf = (declared: string): Decode => {
  switch (columnTypeOf(declared)?.kind) {
    case undefined:
      return asIs;
    case 'BOOLEAN':
      return (value) => (value === 1 ? true : value === 0 ? false : undefined);
    case 'SHORT':
    case 'INT':
    case 'LONG':
      return (value) => (typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value)) ? value : undefined);
    case 'FLOAT':
    case 'DOUBLE':
      return (value) => (typeof value === 'number' ? value : undefined);
    case 'DECIMAL':
      return decimal;
    case 'BINARY':
      return (value) => (value instanceof Uint8Array ? value : undefined);
    case 'JSON':
      return document;
    default:
      return text;
  }
};
