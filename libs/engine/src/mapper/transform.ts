/** What happens to a value between its path and its column, in this order: concatenate → hash → encrypt → cast. */
import { createCipheriv, hash, randomBytes } from 'node:crypto';
import type { MapperColumn } from '@tributary/contracts/mapper';
import type { ColumnType, Value } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { castString, castTypes, compileCast, type Cast } from './cast.ts';

export interface Transform {
  /** null: undeclared. */
  readonly type: ColumnType | null;
  /** Undefined when the value cannot be transformed; null: the value is taken as it is. */
  readonly apply: Cast | null;
}

/** Joins without a separator; what is null or missing adds nothing, and null comes of nulls only. Undefined when a part is not text. */
export const concatenate = (parts: readonly (Value | undefined)[]): string | null | undefined => {
  let joined: string | null = null;
  for (const part of parts) {
    if (part === null || part === undefined) continue;
    const text = castString(part);
    if (text === undefined) return undefined;
    joined = joined === null ? text : joined + text;
  }
  return joined;
};

/** Bytes are hashed as they are, anything else as its UTF-8 text. Lower-case hexadecimal. */
const hashWith =
  (method: 'md5' | 'sha256' | 'sha512'): Cast =>
  (value) => {
    if (value instanceof Uint8Array) return hash(method, value);
    const text = castString(value);
    return text === undefined ? undefined : hash(method, text);
  };

/** Base64 of iv (12 bytes) | tag (16 bytes) | ciphertext; NIST SP 800-38D. */
const encryptWith =
  (key: Buffer): Cast =>
  (value) => {
    const plain = value instanceof Uint8Array ? value : castString(value);
    if (plain === undefined) return undefined;
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, iv);
    const ciphertext = Buffer.concat([typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), ciphertext]).toString('base64');
  };

/** @throws CONFIG_INVALID for a format that cannot be parsed by, or an encryption without a 32-byte key or of a key column. */
export const compileTransform = (column: MapperColumn, encryptionKey: Buffer | undefined): Transform => {
  const steps: Cast[] = [];
  let type: ColumnType | null = (column.concatenate_fields?.length ?? 0) > 0 ? castTypes.string : null;
  if (column.hash_method) {
    steps.push(hashWith(column.hash_method));
    type = castTypes.string;
  }
  if (column.encrypt_method) {
    if (encryptionKey?.length !== 32) {
      throw new TributaryError('CONFIG_INVALID', `Column "${column.key}" is to be encrypted, but no 32-byte encryption key is set for the environment.`);
    }
    if (column.primary_key === true) {
      throw new TributaryError(
        'CONFIG_INVALID',
        `Column "${column.key}" is a primary key and cannot be encrypted: its ciphertext differs each time. Hash it instead.`,
      );
    }
    steps.push(encryptWith(encryptionKey));
    type = castTypes.string;
  }
  if (column.cast) {
    steps.push(compileCast(column.cast, column.cast_format));
    type = castTypes[column.cast];
  }
  const [first, ...rest] = steps;
  if (first === undefined) return { type, apply: null };
  return { type, apply: rest.length === 0 ? first : (value) => inTurn(steps, value) };
};

const inTurn = (steps: readonly Cast[], value: NonNullable<Value>): Value | undefined => {
  let current: Value | undefined = value;
  for (const step of steps) {
    if (current === null || current === undefined) return current;
    current = step(current);
  }
  return current;
};
