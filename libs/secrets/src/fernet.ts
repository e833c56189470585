/**
 * Fernet tokens (https://github.com/fernet/spec/blob/master/Spec.md): AES-128-CBC and HMAC-SHA256, wire-compatible with Python's `cryptography`.
 * A token is base64url of `0x80 | time (8 bytes, seconds) | iv (16) | ciphertext | hmac (32)`.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';

export interface FernetKey {
  readonly signing: Buffer;
  readonly encryption: Buffer;
}

/** A key as Python prints it: 32 bytes in base64url with padding, the signing half first. @throws SETTING_INVALID */
export const parseFernetKey = (text: string): FernetKey => {
  const bytes = Buffer.from(text.trim(), 'base64url');
  if (bytes.length !== 32)
    throw new TributaryError('SETTING_INVALID', 'An encryption key must be 32 bytes in URL-safe base64, as Fernet.generate_key() prints it.');
  return { signing: bytes.subarray(0, 16), encryption: bytes.subarray(16) };
};

export const generateFernetKey = (): string => padded(randomBytes(32));

const padded = (bytes: Buffer): string => bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_');

const hmac = (key: FernetKey, bytes: Buffer): Buffer => createHmac('sha256', key.signing).update(bytes).digest();

export const fernetEncrypt = (key: FernetKey, text: string, options: { readonly at?: Date; readonly iv?: Buffer } = {}): string => {
  const head = Buffer.alloc(9);
  head[0] = 0x80;
  head.writeBigUInt64BE(BigInt(Math.floor((options.at ?? new Date()).getTime() / 1000)), 1);
  const iv = options.iv ?? randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', key.encryption, iv);
  const signed = Buffer.concat([head, iv, cipher.update(text, 'utf8'), cipher.final()]);
  return padded(Buffer.concat([signed, hmac(key, signed)]));
};

/** null when the token was not made with this key, or was changed. */
export const fernetDecrypt = (key: FernetKey, token: string): string | null => {
  const bytes = Buffer.from(token, 'base64url');
  // Version, time, iv, at least one block, hmac.
  if (bytes.length < 9 + 16 + 16 + 32 || bytes[0] !== 0x80 || (bytes.length - 57) % 16 !== 0) return null;
  const signed = bytes.subarray(0, -32);
  if (!timingSafeEqual(hmac(key, signed), bytes.subarray(-32))) return null;
  const decipher = createDecipheriv('aes-128-cbc', key.encryption, bytes.subarray(9, 25));
  return decipher.update(bytes.subarray(25, -32), undefined, 'utf8') + decipher.final('utf8');
};
