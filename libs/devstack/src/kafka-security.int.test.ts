import { expect, test } from 'vitest';
import { connectKafka, type KafkaConnectionConfig } from '@tributary/kafka/connection';
import { secureKafka } from './testing.ts';

const secure = secureKafka();
const credentials = { saslUsername: secure.username, saslPassword: secure.password };

/** An unsecured JWS (RFC 7515, alg none), which the development broker takes. */
const unsecuredToken = async (): Promise<string> => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  return `${part({ alg: 'none' })}.${part({ sub: 'tributary', iat: now, exp: now + 600 })}.`;
};

const ways: (Partial<KafkaConnectionConfig> & { readonly name: string })[] = (['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'] as const).flatMap(
  (saslMechanism) => {
    const login = saslMechanism === 'OAUTHBEARER' ? { oauthTokenProvider: unsecuredToken } : credentials;
    return [
      { name: `SASL_PLAINTEXT ${saslMechanism}`, brokers: [secure.saslPlaintext], securityProtocol: 'SASL_PLAINTEXT' as const, saslMechanism, ...login },
      { name: `SASL_SSL ${saslMechanism}`, brokers: [secure.saslSsl], securityProtocol: 'SASL_SSL' as const, saslMechanism, caCert: secure.caCert, ...login },
    ];
  },
);
ways.push({
  name: 'SSL with a client certificate',
  brokers: [secure.ssl],
  securityProtocol: 'SSL',
  caCert: secure.caCert,
  cert: secure.clientCert,
  key: secure.clientKey,
});

const connect = async (way: Partial<KafkaConnectionConfig>): Promise<void> => {
  const client = await connectKafka({ clientId: 'devstack-test', brokers: [], securityProtocol: 'PLAINTEXT', ...way });
  await client.close();
};

test.each(ways)('takes $name', async (way) => {
  await connect(way);
});

test.each(ways.filter((way) => way.saslPassword !== undefined))('refuses a wrong password with $name', async (way) => {
  await expect(connect({ ...way, saslPassword: 'wrong' })).rejects.toMatchObject({ code: 'CREDENTIALS_REJECTED' });
});

test('refuses TLS without a client certificate where one is required', async () => {
  await expect(connect({ brokers: [secure.ssl], securityProtocol: 'SSL', caCert: secure.caCert })).rejects.toThrow();
});
