/** The gateway: authenticates, routes to the services, streams logs, serves the API's documentation. Holds no business rules. */
import { TributaryError } from '@tributary/errors/error';
import { publicEndpoints } from '@tributary/contracts/api/catalogue';
import { cors } from '@tributary/http/cors';
import { createApp, listen } from '@tributary/http/server';
import { commonSettings, namespaceSettings, readEnv, redisSettings, trustSettings } from '@tributary/runtime/env';
import { createHealth } from '@tributary/runtime/health';
import { runService } from '@tributary/runtime/lifecycle';
import { createLogger } from '@tributary/runtime/logger';
import { createMetrics } from '@tributary/runtime/metrics';
import { z } from 'zod';
import { mountDocs } from './docs.ts';
import { serveLogSockets } from './log-sockets.ts';
import { openLogTail } from './log-tail.ts';
import { mountProxy } from './proxy.ts';

const log = createLogger({ service: 'gateway', level: process.env['LOG_LEVEL'] ?? 'info' });

await runService(log, async (lifecycle) => {
  const settings = readEnv(
    z.object({
      ...commonSettings,
      ...redisSettings,
      ...namespaceSettings,
      JWT_SECRET: trustSettings.JWT_SECRET,
      PIPELINES_URL: z.url(),
      CONNECTORS_URL: z.url(),
      /** Comma-separated origins that browsers may call from. */
      CORS_ORIGINS: z.string().default(''),
    }),
  );
  const health = createHealth();
  const tail = openLogTail(settings.REDIS_URL, log);
  lifecycle.onStop('log streams', tail.close);
  health.add('redis', tail.check);

  const { app, finish } = createApp({ log, health, metrics: createMetrics('gateway') });
  app.use(
    cors(
      settings.CORS_ORIGINS.split(',')
        .map((origin) => origin.trim())
        .filter(Boolean),
    ),
  );
  const services = { pipelines: settings.PIPELINES_URL, connectors: settings.CONNECTORS_URL };
  app.get('/health', (_request, response) => {
    const { ready } = health.report();
    response.status(ready ? 200 : 503).json({ status: ready ? 'ok' : 'unavailable' });
  });
  mountDocs(app);
  const proxy = mountProxy(app, publicEndpoints, { services, jwtSecret: settings.JWT_SECRET, timeoutMs: 30_000 });
  lifecycle.onStop('connections to services', proxy.close);
  health.add('services', () => {
    const open = proxy.openBreakers();
    return open.length === 0 ? null : `no answer from ${open.join(', ')}`;
  });
  finish();

  const listening = await listen(app, settings.PORT);
  lifecycle.onStop('server', listening.close);
  const sockets = serveLogSockets(listening.server, {
    tail,
    namespace: settings.NAMESPACE,
    log,
    authorize: async (token, resource, id) => {
      if (token === '') throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
      const service = services[resource];
      const response = await fetch(`${service}/api/${resource}/${encodeURIComponent(id)}`, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(5000),
      }).catch(() => null);
      if (response === null) throw new TributaryError('SERVICE_UNAVAILABLE', `The ${resource} service cannot be reached at the moment.`);
      await response.body?.cancel();
      if (response.status === 401) throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
      if (!response.ok) throw new TributaryError('NOT_FOUND', `There is no ${resource === 'pipelines' ? 'pipeline' : 'connector'} ${id} in your environment.`);
    },
  });
  lifecycle.onStop('log sockets', async () => sockets.close());
  lifecycle.onStop('readiness', async () => health.drain());
  log.info({ port: listening.port }, 'The gateway is listening');
});
