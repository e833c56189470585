import { describe, expect, test } from 'vitest';
import { fernetDecrypt, fernetEncrypt, generateFernetKey, parseFernetKey } from './fernet.ts';
import { createKeyring } from './keyring.ts';

// The specification's published vector (fernet/spec, generate.json).
const vector = {
  token: 'gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==',
  secret: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=',
  src: 'hello',
  now: new Date('1985-10-26T01:20:00-07:00'),
  iv: Buffer.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
};

describe('Fernet', () => {
  test('makes the token of the specification', () => {
    expect(fernetEncrypt(parseFernetKey(vector.secret), vector.src, { at: vector.now, iv: vector.iv })).toBe(vector.token);
  });

  test('opens the token of the specification', () => {
    expect(fernetDecrypt(parseFernetKey(vector.secret), vector.token)).toBe('hello');
  });

  test('refuses a token that was changed at any place', () => {
    const key = parseFernetKey(generateFernetKey());
    const token = Buffer.from(fernetEncrypt(key, 'a secret'), 'base64url');
    for (let i = 0; i < token.length; i += 1) {
      const changed = Buffer.from(token);
      changed[i] = changed[i]! ^ 1;
      expect(fernetDecrypt(key, changed.toString('base64url'))).toBeNull();
    }
  });

  test('refuses a key of the wrong length', () => {
    expect(() => parseFernetKey('c2hvcnQ=')).toThrow(/32 bytes/);
  });
});

describe('keyring', () => {
  test('opens what an older key sealed and says that it is stale', () => {
    const [old, fresh] = [generateFernetKey(), generateFernetKey()];
    const token = createKeyring(old).seal('x');
    const ring = createKeyring(`${fresh},${old}`);
    expect(ring.open(token)).toBe('x');
    expect(ring.isStale(token)).toBe(true);
    expect(ring.isStale(ring.seal('x'))).toBe(false);
  });

  test('says which setting is wrong when no key opens it', () => {
    expect(() => createKeyring(generateFernetKey()).open(createKeyring(generateFernetKey()).seal('x'))).toThrow(/CONNECTOR_ENCRYPTION_KEY/);
  });
});
