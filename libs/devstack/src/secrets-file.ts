import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';

/** What the development installation of one clone keeps secret, made once. */
export interface DevelopmentSecrets {
  readonly jwtSecret: string;
  readonly serviceToken: string;
  /** A Fernet key: 32 bytes, base64url with padding (https://github.com/fernet/spec). */
  readonly connectorEncryptionKey: string;
  readonly demoPassword: string;
  /** 8 hex digits, no secret: tells this installation from others on the same servers. */
  readonly installationId: string;
}

const fresh = (): DevelopmentSecrets => ({
  jwtSecret: randomBytes(48).toString('base64url'),
  serviceToken: randomBytes(48).toString('base64url'),
  connectorEncryptionKey: `${randomBytes(32).toString('base64url')}=`,
  demoPassword: randomBytes(12).toString('base64url'),
  installationId: randomBytes(4).toString('hex'),
});

/** The secrets in `file`, which only its owner may read. Those that are missing are made. */
export const readSecrets = async (file: string): Promise<DevelopmentSecrets> => {
  const kept = JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as Partial<DevelopmentSecrets>;
  const secrets = { ...fresh(), ...kept };
  await writeFile(`${file}.new`, `${JSON.stringify(secrets, undefined, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return secrets;
};
