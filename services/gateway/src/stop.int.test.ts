import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';

test('the gateway stops within 5 s while Redis is away', async () => {
  const away = createServer().listen(0, '127.0.0.1');
  await once(away, 'listening');
  const address = away.address();
  if (address === null || typeof address === 'string') throw new TypeError('no port');
  away.close();
  await once(away, 'close');
  const nowhere = `127.0.0.1:${address.port}`;
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: {
      PATH: '',
      PORT: '0',
      JWT_SECRET: 'a-secret-that-only-this-test-knows-0123456789',
      PIPELINES_URL: `http://${nowhere}`,
      CONNECTORS_URL: `http://${nowhere}`,
      REDIS_URL: `redis://${nowhere}`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) if (line.includes('is listening')) break;
  child.stdout.resume();
  const asked = performance.now();
  child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  expect(performance.now() - asked).toBeLessThan(5000);
});
