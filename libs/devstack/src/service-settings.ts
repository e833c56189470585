// The four services as processes: which program, which servers, which settings.
import { join } from 'node:path';
import type { ServerName } from './server.ts';

/** The services and the servers each of them needs. */
export const services = {
  gateway: ['redis'],
  connectors: ['mongodb'],
  pipelines: ['mongodb', 'kafka'],
  worker: ['mongodb', 'kafka', 'redis'],
} as const satisfies Record<string, readonly ServerName[]>;

export type ServiceName = keyof typeof services;

export const serviceNames = Object.keys(services) as ServiceName[];

/** `root`: folder of the clone. */
export const serviceMain = (root: string, name: ServiceName): string => join(root, 'services', name, 'src/main.ts');

const serverSettings: Record<ServerName, (url: string, mongoDatabase: string) => Readonly<Record<string, string>>> = {
  mongodb: (url, mongoDatabase) => ({ MONGO_URI: url, MONGO_DATABASE: mongoDatabase }),
  kafka: (url) => ({ KAFKA_BROKERS: new URL(url).host }),
  redis: (url) => ({ REDIS_URL: url }),
  postgres: () => ({}),
};

/** Rows live for one delivery: a larger young generation than Node's own saves copying them (docs/performance.md). */
const own: Partial<Record<ServiceName, Readonly<Record<string, string>>>> = { worker: { WORKER_SLOTS: '50', NODE_OPTIONS: '--max-semi-space-size=64' } };

export interface Installation {
  readonly secrets: { readonly jwtSecret: string; readonly serviceToken: string; readonly connectorEncryptionKey: string };
  /** Folder that file connectors may use. */
  readonly fileRoot: string;
  readonly portOf: (name: ServiceName) => number;
  /** Separates installations on the same servers; default `tributary`. */
  readonly namespace?: string;
  /** Default: the namespace. */
  readonly mongoDatabase?: string;
}

/** The namespace of an installation that has its servers to itself. */
export const usualNamespace = 'tributary';

/** The environment of one service, but for its PORT. `urls`: of the servers it needs, at least. */
export const serviceEnvironment = (
  name: ServiceName,
  urls: Readonly<Partial<Record<ServerName, string>>>,
  { secrets, fileRoot, portOf, namespace = usualNamespace, mongoDatabase = namespace }: Installation,
): Record<string, string> =>
  Object.assign(
    {
      NODE_ENV: 'development',
      NAMESPACE: namespace,
      JWT_SECRET: secrets.jwtSecret,
      SERVICE_TOKEN: secrets.serviceToken,
      CONNECTOR_ENCRYPTION_KEY: secrets.connectorEncryptionKey,
      CONNECTOR_FILE_ROOT: fileRoot,
      PIPELINES_URL: `http://127.0.0.1:${portOf('pipelines')}`,
      CONNECTORS_URL: `http://127.0.0.1:${portOf('connectors')}`,
      ...own[name],
    },
    ...services[name].map((server) => serverSettings[server](urls[server] ?? '', mongoDatabase)),
  ) as Record<string, string>;
