import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { runCommand } from './run-command.ts';

export interface Certificates {
  readonly caFile: string;
  /** Key and certificate chain in one PEM file, as Kafka reads a keystore of type PEM. */
  readonly serverKeystore: string;
  /** PEM texts. */
  readonly caCert: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

/** An authority of our own, a certificate for 127.0.0.1 and localhost, and one for a client, kept in `folder`. */
export const makeCertificates = async (folder: string): Promise<Certificates> => {
  if (!existsSync(folder)) {
    const draft = await mkdtemp(join(dirname(folder), `.${basename(folder)}-`));
    try {
      await makeAuthority(draft);
      await sign(draft, 'server', 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n');
      await sign(draft, 'client', 'extendedKeyUsage=clientAuth\n');
      const keystore = join(draft, 'server-keystore.pem');
      await writeFile(keystore, `${await readFile(join(draft, 'server.key'), 'utf8')}${await readFile(join(draft, 'server.crt'), 'utf8')}`, { mode: 0o600 });
      await rename(draft, folder);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      throw error;
    }
    await chmod(folder, 0o700);
  }
  const text = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  return {
    caFile: join(folder, 'ca.crt'),
    serverKeystore: join(folder, 'server-keystore.pem'),
    caCert: await text('ca.crt'),
    clientCert: await text('client.crt'),
    clientKey: await text('client.key'),
  };
};

const days = '3650';

const openssl = (folder: string, args: readonly string[]): Promise<string> =>
  runCommand('openssl', args, { cwd: folder, purpose: 'Making certificates with openssl' });

const makeAuthority = async (folder: string): Promise<void> => {
  await openssl(folder, [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    days,
    '-subj',
    '/CN=Tributary development CA',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  ]);
};

const sign = async (folder: string, name: string, extensions: string): Promise<void> => {
  await writeFile(join(folder, `${name}.ext`), extensions);
  await openssl(folder, [
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
  ]);
  await openssl(folder, [
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    days,
    '-extfile',
    `${name}.ext`,
    '-out',
    `${name}.crt`,
  ]);
};
