import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createServer } from 'node:tls';
import { expect, test } from 'vitest';
import { makeCertificates } from '@tributary/devstack/certificates';
import { testServers } from '@tributary/devstack/testing';
import { sourceConfig } from './config.ts';
import { placeOf, placeText, using } from './connect.ts';

const context = { side: 'source', signal: AbortSignal.timeout(60_000) } as const;

const place = (config: Record<string, unknown>) => placeOf(sourceConfig.parse(config));

test('a URL says all that the fields can', () => {
  expect(place({ url: 'rediss://us%40er:pa%3Ass@redis.example:6380/3' })).toEqual({
    host: 'redis.example',
    port: 6380,
    username: 'us@er',
    password: 'pa:ss',
    db: 3,
    tls: true,
  });
  expect(place({ url: 'redis://[::1]', username: 'u', password: 'p', db: '2' })).toEqual({
    host: '::1',
    port: 6379,
    username: 'u',
    password: 'p',
    db: 2,
    tls: false,
  });
  expect(placeText(place({ host: 'h', port: '7', db: 1 }))).toBe('h:7/1');
});

test.for(['redis://:hunter2@', 'redis://h/hunter2', 'hunter2', 'http://hunter2@h'])('%j is no URL of ours, and is not repeated', (url) => {
  expect(() => place({ url })).toThrow('redis://user:password@host:port/database');
  expect(() => place({ url })).not.toThrow('hunter2');
});

test('TLS is checked against the authority', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'tributary-redis-tls-'));
  const certificates = await makeCertificates(path.join(folder, 'certificates'));
  const keystore = await readFile(certificates.serverKeystore);
  const shared = new URL(testServers().redis);
  const server = createServer({ key: keystore, cert: keystore }, (socket) => {
    const inner = connect(Number(shared.port), shared.hostname);
    socket.on('error', () => inner.destroy());
    inner.on('error', () => socket.destroy());
    socket.pipe(inner).pipe(socket);
  });
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const ping = (config: Record<string, unknown>): Promise<string> => using(sourceConfig.parse(config), context, ({ redis }) => redis.ping());
    expect(await ping({ host: '127.0.0.1', port, tls: true, ca_cert: certificates.caCert })).toBe('PONG');
    expect(await ping({ url: `rediss://localhost:${port}`, ca_cert: certificates.caCert })).toBe('PONG');
    await expect(ping({ host: '127.0.0.1', port, tls: true })).rejects.toMatchObject({
      code: 'TLS_FAILED',
      message: expect.stringContaining(`127.0.0.1:${port}`) as string,
    });
    await expect(ping({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' });
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test('what a server says is told without secrets', async () => {
  const { hostname: host, port } = new URL(testServers().redis);
  const failure = await using(sourceConfig.parse({ host, port, username: 'nobody', password: 'hunter2' }), context, async () => 'in').catch(
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ code: 'CREDENTIALS_REJECTED' });
  expect(String(failure)).not.toContain('hunter2');
});

test('another database is used when asked for', async () => {
  const { hostname: host, port } = new URL(testServers().redis);
  const database = (db: number): Promise<string> =>
    using(sourceConfig.parse({ host, port, db }), context, async ({ redis }) => String(await redis.client('INFO')));
  expect(await database(3)).toContain(' db=3 ');
  await expect(database(9_999)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});
