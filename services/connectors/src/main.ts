/** The connectors service: connections, their secrets, and trying them. */
import {
  checkCredentials,
  checkCredentialsShort,
  fetchMessages,
  fetchMessagesShort,
  listTopics,
  listTopicsShort,
} from '@tributary/contracts/api/connector-types';
import { resolveIdentity } from '@tributary/contracts/api/internal';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import { createRouteServer, listen } from '@tributary/http/server';
import { createServiceClient } from '@tributary/http/service-client';
import { commonSettings, mongoSettings, namespaceSettings, readEnv, trustSettings } from '@tributary/runtime/env';
import { createHealth } from '@tributary/runtime/health';
import { runService } from '@tributary/runtime/lifecycle';
import { createLogger } from '@tributary/runtime/logger';
import { createMetrics } from '@tributary/runtime/metrics';
import { createKeyring } from '@tributary/secrets/keyring';
import { openStore } from '@tributary/store/connection';
import { connectionsModel } from '@tributary/store/connections';
import { dataKeysModel } from '@tributary/store/data-keys';
import { z } from 'zod';
import { createConnections } from './connections/connections.ts';
import { checkCredentialsRoute } from './routes/connector-types/check-credentials.ts';
import { fetchMessagesRoute } from './routes/connector-types/fetch-messages.ts';
import { listTopicsRoute } from './routes/connector-types/list-topics.ts';
import { listTypesRoute } from './routes/connector-types/list.ts';
import { createRoute } from './routes/connectors/create.ts';
import { deleteRoute } from './routes/connectors/delete.ts';
import { findRoute } from './routes/connectors/find.ts';
import { getRoute } from './routes/connectors/get.ts';
import { listSourcesRoute } from './routes/connectors/list-sources.ts';
import { listTargetsRoute } from './routes/connectors/list-targets.ts';
import { updateRoute } from './routes/connectors/update.ts';
import { dataKeyRoute } from './routes/internal/data-key.ts';
import { deleteConnectionRoute } from './routes/internal/delete-connection.ts';
import { deleteEnvironmentRoute } from './routes/internal/delete-environment.ts';
import { getConnectionRoute } from './routes/internal/get-connection.ts';
import { getConnectionsRoute } from './routes/internal/get-connections.ts';
import { patchConnectionRoute } from './routes/internal/patch-connection.ts';
import { putConnectionRoute } from './routes/internal/put-connection.ts';
import { workerConfigRoute } from './routes/internal/worker-config.ts';

const log = createLogger({ service: 'connectors', level: process.env['LOG_LEVEL'] ?? 'info' });

await runService(log, async (lifecycle) => {
  const settings = readEnv(
    z.object({
      ...commonSettings,
      ...mongoSettings,
      ...namespaceSettings,
      SERVICE_TOKEN: trustSettings.SERVICE_TOKEN,
      PIPELINES_URL: z.url(),
      /** One or several Fernet keys, the newest first. Never made up: credentials sealed with a lost key are lost. */
      CONNECTOR_ENCRYPTION_KEY: z.string().min(1),
      CONNECTOR_FILE_ROOT: z.string().optional(),
    }),
  );
  connectorSettings.fileRoot = settings.CONNECTOR_FILE_ROOT ?? null;
  connectorSettings.reservedTopicPrefixes = [...new Set(['tributary.', `${settings.NAMESPACE}.`])];
  const keyring = createKeyring(settings.CONNECTOR_ENCRYPTION_KEY);

  const store = await openStore({ uri: settings.MONGO_URI, database: settings.MONGO_DATABASE });
  lifecycle.onStop('MongoDB', () => store.close());
  const stores = { connections: connectionsModel(store), dataKeys: dataKeysModel(store) };
  await stores.connections.createIndexes();
  const connections = createConnections(stores, keyring);

  const pipelines = createServiceClient({ baseUrl: settings.PIPELINES_URL, token: settings.SERVICE_TOKEN, name: 'pipelines' });
  const health = createHealth();
  health.add('mongodb', () => (store.readyState === 1 ? null : 'not connected'));

  const app = createRouteServer({
    log,
    health,
    metrics: createMetrics('connectors'),
    serviceToken: settings.SERVICE_TOKEN,
    identify: (token) => pipelines.call(resolveIdentity, { body: { token } }),
    routes: [
      listSourcesRoute(connections),
      listTargetsRoute(connections),
      findRoute(connections),
      getRoute(connections),
      createRoute(connections),
      updateRoute(connections, pipelines),
      deleteRoute(connections, pipelines),
      listTypesRoute(),
      ...[checkCredentials, checkCredentialsShort].map((endpoint) => checkCredentialsRoute(endpoint, log)),
      ...[fetchMessages, fetchMessagesShort].map((endpoint) => fetchMessagesRoute(endpoint, log)),
      ...[listTopics, listTopicsShort].map((endpoint) => listTopicsRoute(endpoint, log)),
      putConnectionRoute(connections),
      patchConnectionRoute(connections),
      getConnectionRoute(connections),
      getConnectionsRoute(connections),
      deleteConnectionRoute(connections),
      deleteEnvironmentRoute(connections),
      workerConfigRoute(connections),
      dataKeyRoute(connections),
    ],
  });
  const listening = await listen(app, settings.PORT);
  lifecycle.onStop('server', listening.close);
  lifecycle.onStop('readiness', async () => health.drain());
  log.info({ port: listening.port }, 'The connectors service is listening');
});
