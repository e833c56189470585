/** Seals and opens credentials with several keys: the first seals, all open. */
import { TributaryError } from '@tributary/errors/error';
import { fernetDecrypt, fernetEncrypt, parseFernetKey } from './fernet.ts';

export interface Keyring {
  seal(text: string): string;
  /** @throws SETTING_INVALID when none of the keys opens it. */
  open(token: string): string;
  /** Was it sealed with a key that is no longer the first? */
  isStale(token: string): boolean;
}

/** `keys`: one or several Fernet keys, separated by commas, the newest first. */
export const createKeyring = (keys: string): Keyring => {
  const parsed = keys.split(',').map(parseFernetKey);
  const [first] = parsed;
  if (first === undefined) throw new TributaryError('SETTING_INVALID', 'CONNECTOR_ENCRYPTION_KEY is empty.');
  return {
    seal: (text) => fernetEncrypt(first, text),
    open: (token) => {
      for (const key of parsed) {
        const text = fernetDecrypt(key, token);
        if (text !== null) return text;
      }
      throw new TributaryError('SETTING_INVALID', 'A stored credential cannot be opened: CONNECTOR_ENCRYPTION_KEY does not hold the key that sealed it.');
    },
    isStale: (token) => fernetDecrypt(first, token) === null,
  };
};
