import { createServer } from 'node:http';
import { createServer as createMuteServer, type AddressInfo, type Socket } from 'node:net';
import { secureKafka, testServers, uniqueName } from '@tributary/devstack/testing';
import { expect, test } from 'vitest';
import { connectKafka, type KafkaConnectionConfig } from './connection.ts';
import { openProducer } from './producer.ts';
import { openReader } from './reader.ts';
import { registerSaslMechanism } from './sasl.ts';
import { createTopicIfMissing, listTopics } from './topics.ts';

const plaintext = (): KafkaConnectionConfig => ({ brokers: [testServers().kafkaBrokers], clientId: 'test', securityProtocol: 'PLAINTEXT' });

/** Writes one record and reads it back over the connection under test. */
const roundTrip = async (config: KafkaConnectionConfig): Promise<string> => {
  const client = await connectKafka(config);
  try {
    const topic = uniqueName('security');
    await createTopicIfMissing(client, { topic, partitions: 1 });
    const producer = await openProducer(client, { idempotent: true });
    await producer.send(topic, [{ key: 'k', value: 'hello' }]);
    await producer.close();
    const reader = await openReader(client, { topic, offsets: new Map([[0, 0n]]), isolation: 'read_committed' });
    const [batch] = await reader.next();
    await reader.close();
    return String(batch?.messages[0]?.value);
  } finally {
    await client.close();
  }
};

/** An unsecured JWS (RFC 7515, appendix A.5), which the test broker takes. */
const unsecuredToken = (): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  return `${part({ alg: 'none' })}.${part({ sub: 'tributary', iat: now - 5, exp: now + 3600 })}.`;
};

test('PLAINTEXT', async () => {
  expect(await roundTrip(plaintext())).toBe('hello');
});

test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)('%s with and without TLS', async (saslMechanism) => {
  const { saslPlaintext, saslSsl, caCert, username, password } = secureKafka();
  const common = { clientId: 'test', saslMechanism, saslUsername: username, saslPassword: password };
  expect(await roundTrip({ ...common, brokers: [saslPlaintext], securityProtocol: 'SASL_PLAINTEXT' })).toBe('hello');
  expect(await roundTrip({ ...common, brokers: [saslSsl], securityProtocol: 'SASL_SSL', caCert })).toBe('hello');
});

test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)('%s with a wrong password is rejected without showing it', async (saslMechanism) => {
  const { saslPlaintext, username } = secureKafka();
  const connecting = connectKafka({
    brokers: [saslPlaintext],
    clientId: 'test',
    securityProtocol: 'SASL_PLAINTEXT',
    saslMechanism,
    saslUsername: username,
    saslPassword: 'not-the-password',
  });
  await expect(connecting).rejects.toMatchObject({ code: 'CREDENTIALS_REJECTED', message: expect.not.stringContaining('not-the-password') });
});

test('TLS with a client certificate', async () => {
  const { ssl, caCert, clientCert, clientKey } = secureKafka();
  expect(await roundTrip({ brokers: [ssl], clientId: 'test', securityProtocol: 'SSL', caCert, cert: clientCert, key: clientKey })).toBe('hello');
});

test('TLS without the certificate authority names the trouble', async () => {
  const { ssl, clientCert, clientKey } = secureKafka();
  await expect(connectKafka({ brokers: [ssl], clientId: 'test', securityProtocol: 'SSL', cert: clientCert, key: clientKey })).rejects.toMatchObject({
    code: 'TLS_FAILED',
    message: expect.stringContaining(ssl),
  });
});

test('TLS to a plaintext listener fails as TLS', async () => {
  await expect(connectKafka({ ...plaintext(), securityProtocol: 'SSL' })).rejects.toMatchObject({ code: 'TLS_FAILED' });
});

test('plaintext to a TLS listener hints at the protocol', async () => {
  await expect(connectKafka({ ...plaintext(), brokers: [secureKafka().ssl] })).rejects.toMatchObject({
    code: expect.stringMatching(/HOST_UNREACHABLE|TIMEOUT/),
    message: expect.stringContaining(secureKafka().ssl),
  });
});

test('OAUTHBEARER with a token', async () => {
  const { saslPlaintext } = secureKafka();
  const config = { brokers: [saslPlaintext], clientId: 'test', securityProtocol: 'SASL_PLAINTEXT', saslMechanism: 'OAUTHBEARER' } as const;
  expect(await roundTrip({ ...config, oauthTokenProvider: async () => unsecuredToken() })).toBe('hello');
  await expect(connectKafka({ ...config, oauthTokenProvider: async () => 'not.a.token' })).rejects.toMatchObject({ code: 'CREDENTIALS_REJECTED' });
});

test('OAUTHBEARER exchanges user name and password for a token', async () => {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(String(request.headers.authorization));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ access_token: unsecuredToken(), expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { saslSsl, caCert } = secureKafka();
    const oauthTokenUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
    const config = {
      brokers: [saslSsl],
      clientId: 'test',
      securityProtocol: 'SASL_SSL',
      caCert,
      saslMechanism: 'OAUTHBEARER',
      saslUsername: 'id',
      saslPassword: 'secret',
      oauthTokenUrl,
    } as const;
    expect(await roundTrip(config)).toBe('hello');
    expect(seen).toEqual([`Basic ${Buffer.from('id:secret').toString('base64')}`]);
  } finally {
    server.close();
  }
});

test('GSSAPI says what is missing, and takes a registered provider', async () => {
  const { saslPlaintext, username, password } = secureKafka();
  const config = {
    brokers: [saslPlaintext],
    clientId: 'test',
    securityProtocol: 'SASL_PLAINTEXT',
    saslMechanism: 'GSSAPI',
    saslUsername: username,
    saslPassword: password,
  } as const;
  await expect(connectKafka(config)).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('registerSaslMechanism') });
  // The test broker has no Kerberos: that the provider is asked is all that can be shown here.
  registerSaslMechanism('GSSAPI', () => () => ({ authenticate: async () => undefined }));
  await expect(connectKafka(config)).rejects.toMatchObject({ code: 'CREDENTIALS_REJECTED', message: expect.stringContaining('GSSAPI') });
});

test('a wrong address names the broker', async () => {
  await expect(connectKafka({ ...plaintext(), brokers: ['127.0.0.1:1'] })).rejects.toMatchObject({
    code: 'HOST_UNREACHABLE',
    message: expect.stringContaining('127.0.0.1:1'),
  });
  await expect(connectKafka({ ...plaintext(), brokers: ['no-such-host.invalid:9092'] })).rejects.toMatchObject({
    code: 'HOST_UNREACHABLE',
    message: expect.stringContaining('no-such-host.invalid'),
  });
  await expect(connectKafka({ ...plaintext(), brokers: ['kafka'] })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('host:port'),
  });
});

test('the second of two brokers is used when the first is down', async () => {
  const client = await connectKafka({ ...plaintext(), brokers: ['127.0.0.1:1', testServers().kafkaBrokers] });
  expect(Array.isArray(await listTopics(client))).toBe(true);
  await client.close();
});

test('SASL to a listener without it says to change security_protocol', async () => {
  await expect(
    connectKafka({ ...plaintext(), securityProtocol: 'SASL_PLAINTEXT', saslMechanism: 'PLAIN', saslUsername: 'u', saslPassword: 'p' }),
  ).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(/does not speak SASL.*security_protocol/) as string });
});

test('a broker that accepts connections and never answers is given up, by name, and the next one is tried', async () => {
  const sockets = new Set<Socket>();
  const mute = createMuteServer((socket) => void sockets.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const address = `127.0.0.1:${(mute.address() as AddressInfo).port}`;
  try {
    const started = Date.now();
    await expect(connectKafka({ ...plaintext(), brokers: [address] })).rejects.toMatchObject({
      code: 'HOST_UNREACHABLE',
      message: expect.stringContaining(address) as string,
    });
    expect(Date.now() - started).toBeLessThan(12_500);
    const client = await connectKafka({ ...plaintext(), brokers: [address, testServers().kafkaBrokers] });
    expect(Array.isArray(await listTopics(client))).toBe(true);
    await client.close();
  } finally {
    for (const socket of sockets) socket.destroy();
    mute.close();
  }
}, 30_000);
