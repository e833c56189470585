/** The pipelines service: identity, environments, teams and pipelines. */
import { setInterval } from 'node:timers';
import { createRouteServer, listen } from '@tributary/http/server';
import { createServiceClient } from '@tributary/http/service-client';
import { commonSettings, kafkaSettings, mongoSettings, namespaceSettings, readEnv, trustSettings } from '@tributary/runtime/env';
import { createHealth } from '@tributary/runtime/health';
import { runService } from '@tributary/runtime/lifecycle';
import { createLogger } from '@tributary/runtime/logger';
import { createMetrics } from '@tributary/runtime/metrics';
import { openStore } from '@tributary/store/connection';
import { z } from 'zod';
import { startControlPath } from './control-path.ts';
import { createDomain } from './domain.ts';
import { reannounce } from './pipelines/reannounce.ts';
import { allRoutes } from './routes/routes.ts';
import { openStores } from './stores.ts';

const sweepEveryMs = 60_000;
const reannounceEveryMs = 10_000;

const log = createLogger({ service: 'pipelines', level: process.env['LOG_LEVEL'] ?? 'info' });

await runService(log, async (lifecycle) => {
  const settings = readEnv(
    z.object({
      ...commonSettings,
      ...mongoSettings,
      ...kafkaSettings,
      ...trustSettings,
      ...namespaceSettings,
      CONNECTORS_URL: z.url(),
      /** The operator's superuser: made at the first start. Its password is not changed by a later one. */
      SUPERUSER_EMAIL: z.email().optional(),
      SUPERUSER_PASSWORD: z.string().min(8, 'must have at least 8 characters').optional(),
      /** How long a login lasts. */
      TOKEN_LIFETIME_SECONDS: z.coerce.number().int().min(60).default(86_400),
    }),
  );
  const health = createHealth();

  const store = await openStore({ uri: settings.MONGO_URI, database: settings.MONGO_DATABASE });
  lifecycle.onStop('MongoDB', () => store.close());
  health.add('mongodb', () => (store.readyState === 1 ? null : 'not connected'));
  const stores = await openStores(store);

  const controlPath = startControlPath({
    namespace: settings.NAMESPACE,
    kafka: {
      brokers: settings.KAFKA_BROKERS.split(','),
      clientId: 'tributary-pipelines',
      securityProtocol: settings.KAFKA_SECURITY_PROTOCOL,
      saslMechanism: settings.KAFKA_SASL_MECHANISM,
      saslUsername: settings.KAFKA_SASL_USERNAME,
      saslPassword: settings.KAFKA_SASL_PASSWORD,
      caCert: settings.KAFKA_CA_CERT,
      log: { debug: (message, facts) => log.debug(facts, message), warn: (message, facts) => log.warn(facts, message) },
    },
    stores,
    log,
    health,
    onFatal: (error) => {
      throw error;
    },
  });
  lifecycle.onStop('control path', controlPath.stop);

  const domain = createDomain({
    stores,
    connectorsService: createServiceClient({ baseUrl: settings.CONNECTORS_URL, token: settings.SERVICE_TOKEN, name: 'connectors' }),
    jwtSecret: settings.JWT_SECRET,
    tokenLifetimeSeconds: settings.TOKEN_LIFETIME_SECONDS,
    log,
    nudge: controlPath.nudge,
  });
  if (settings.SUPERUSER_EMAIL !== undefined && settings.SUPERUSER_PASSWORD !== undefined)
    await domain.accounts.ensureSuperuser(settings.SUPERUSER_EMAIL, settings.SUPERUSER_PASSWORD);

  const sweeping = setInterval(
    () => void domain.claims.sweep().catch((error: unknown) => log.warn({ err: error }, 'Left connections could not be looked for')),
    sweepEveryMs,
  );
  lifecycle.onStop('sweep', async () => clearInterval(sweeping));
  const reannouncing = setInterval(() => {
    reannounce(stores).then(
      (count) => {
        if (count === 0) return;
        log.info({ count }, 'Orders that were not answered are announced again');
        controlPath.nudge();
      },
      (error: unknown) => log.warn({ err: error }, 'Orders that were not answered could not be looked for'),
    );
  }, reannounceEveryMs);
  lifecycle.onStop('unanswered orders', async () => clearInterval(reannouncing));

  const app = createRouteServer({
    log,
    health,
    metrics: createMetrics('pipelines'),
    serviceToken: settings.SERVICE_TOKEN,
    identify: domain.sessions.identify,
    routes: allRoutes(domain),
  });
  const listening = await listen(app, settings.PORT);
  lifecycle.onStop('server', listening.close);
  lifecycle.onStop('readiness', async () => health.drain());
  log.info({ port: listening.port }, 'The pipelines service is listening');
});
