// Listeners with authentication and TLS, for tests of every security setting a connection may have.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeCertificates } from './certificates.ts';

/** What a client needs to reach the secured listeners. All listeners share one broker. */
export interface KafkaSecure {
  /** host:port; takes PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER. */
  readonly saslPlaintext: string;
  /** host:port; the same mechanisms over TLS. */
  readonly saslSsl: string;
  /** host:port; TLS that asks for a client certificate. */
  readonly ssl: string;
  /** PEM texts. */
  readonly caCert: string;
  readonly clientCert: string;
  readonly clientKey: string;
  /** The same user for PLAIN and both SCRAM mechanisms. OAUTHBEARER takes any unsecured JWS with a `sub` claim (RFC 7515, alg none). */
  readonly username: string;
  readonly password: string;
}

export interface KafkaSecurity {
  readonly listeners: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  /** Arguments of `StorageTool --add-scram`. */
  readonly scram: readonly string[];
  readonly endpoints: KafkaSecure;
}

const username = 'tributary';
const module_ = 'org.apache.kafka.common.security';

export const prepareSecurity = async (folder: string, portOf: (name: string) => number): Promise<KafkaSecurity> => {
  const password = await keptPassword(join(folder, 'password'));
  const certificates = await makeCertificates(join(folder, 'certificates'));
  const ports = { SASL_PLAINTEXT: portOf('kafka-sasl-plaintext'), SASL_SSL: portOf('kafka-sasl-ssl'), SSL: portOf('kafka-ssl') };
  const settings: Record<string, string> = {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': certificates.serverKeystore,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': certificates.caFile,
    'listener.name.ssl.ssl.client.auth': 'required',
  };
  for (const listener of ['sasl_plaintext', 'sasl_ssl']) {
    const of = `listener.name.${listener}`;
    settings[`${of}.plain.sasl.jaas.config`] = `${module_}.plain.PlainLoginModule required user_${username}="${password}";`;
    settings[`${of}.scram-sha-256.sasl.jaas.config`] = `${module_}.scram.ScramLoginModule required;`;
    settings[`${of}.scram-sha-512.sasl.jaas.config`] = `${module_}.scram.ScramLoginModule required;`;
    settings[`${of}.oauthbearer.sasl.jaas.config`] = `${module_}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`;
  }
  return {
    listeners: Object.entries(ports).map(([name, port]) => `${name}://127.0.0.1:${port}`),
    settings,
    scram: ['SCRAM-SHA-256', 'SCRAM-SHA-512'].map((mechanism) => `${mechanism}=[name=${username},password=${password}]`),
    endpoints: {
      saslPlaintext: `127.0.0.1:${ports.SASL_PLAINTEXT}`,
      saslSsl: `127.0.0.1:${ports.SASL_SSL}`,
      ssl: `127.0.0.1:${ports.SSL}`,
      caCert: certificates.caCert,
      clientCert: certificates.clientCert,
      clientKey: certificates.clientKey,
      username,
      password,
    },
  };
};

const keptPassword = async (file: string): Promise<string> => {
  if (!existsSync(file)) {
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, randomBytes(18).toString('base64url'), { mode: 0o600 });
  }
  return readFile(file, 'utf8');
};
