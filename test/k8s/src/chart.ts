// The chart through helm, and two sets of values for it: the least that works and everything that can be turned on.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '@tributary/devstack/run-command';
import { parseAllDocuments, stringify } from 'yaml';
import { isManifest, type Manifest } from './manifest.ts';
import { chartFolder } from './paths.ts';
import { program } from './programs.ts';

export type Values = Readonly<Record<string, unknown>>;

export const services = ['gateway', 'connectors', 'pipelines', 'worker'] as const;
export type ServiceName = (typeof services)[number];
export const ports: Readonly<Record<ServiceName, number>> = { gateway: 8080, connectors: 8009, pipelines: 8010, worker: 8011 };

/** Valid, recognisable wherever they turn up, and good for nothing else. */
export const testSecrets = {
  mongoUri: 'mongodb://tributary:mongo-secret@mongo:27017/',
  redisUrl: 'redis://:redis-secret@redis:6379',
  jwtSecret: 'jwt-secret-of-the-chart-test-0123456789',
  serviceToken: 'service-token-of-the-chart-test-0123456789',
  connectorEncryptionKey: `${Buffer.from('key of the chart test, 32 bytes.').toString('base64url')}=`,
};

export const leastValues: Values = { kafka: { brokers: ['kafka:9092'] }, secrets: testSecrets };

const peers = (name: string): unknown[] => [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } }];

export const allValues: Values = {
  commonLabels: { 'example.com/owner': 'data' },
  image: { registry: 'registry.example.com/data', repository: 'tributary', tag: '1.2.3', pullPolicy: 'Always', pullSecrets: ['pull'] },
  logLevel: 'debug',
  namespace: 'team-a',
  secrets: { ...testSecrets, kafkaSaslPassword: 'kafka-secret', superuserPassword: 'superuser-secret' },
  kafka: {
    brokers: ['kafka-0:9093', 'kafka-1:9093'],
    securityProtocol: 'SASL_SSL',
    sasl: { mechanism: 'SCRAM-SHA-512', username: 'tributary' },
    caCert: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
  },
  files: { existingClaim: 'files', mountPath: '/data' },
  serviceAccount: { annotations: { 'example.com/role': 'none' } },
  gateway: {
    replicas: 3,
    corsOrigins: ['https://console.example.com'],
    service: { type: 'LoadBalancer', annotations: { 'example.com/lb': 'internal' } },
    extraEnv: [{ name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: 'http://collector:4318' }],
    podAnnotations: { 'example.com/a': 'b' },
    podLabels: { 'example.com/c': 'd' },
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'dedicated', operator: 'Exists', effect: 'NoSchedule' }],
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] } }],
      },
    },
  },
  pipelines: { superuser: { email: 'admin@example.com' }, podDisruptionBudget: { maxUnavailable: '50%' } },
  worker: {
    slots: 16,
    autoscaling: {
      minReplicas: 3,
      maxReplicas: 30,
      wantedSlots: { enabled: true, source: 'External', matchLabels: { namespace: 'tributary' } },
      extraMetrics: [{ type: 'External', external: { metric: { name: 'tributary_lag_messages' }, target: { type: 'AverageValue', averageValue: '100k' } } }],
    },
  },
  ingress: {
    enabled: true,
    className: 'nginx',
    annotations: { 'nginx.ingress.kubernetes.io/proxy-read-timeout': '3600' },
    hosts: [{ host: 'tributary.example.com' }],
    tls: [{ secretName: 'tributary-tls', hosts: ['tributary.example.com'] }],
  },
  networkPolicy: { enabled: true, gatewayFrom: peers('ingress'), metricsFrom: peers('monitoring') },
  metrics: { serviceMonitor: { enabled: true, labels: { release: 'prometheus' } } },
};

/** `path` ('worker.autoscaling.enabled') set to `value` in a copy of `values`. */
export const withValue = (values: Values, path: string, value: unknown): Values => {
  const [key = '', ...rest] = path.split('.');
  if (rest.length === 0) return { ...values, [key]: value };
  const below = values[key];
  const inner = below !== null && typeof below === 'object' && !Array.isArray(below) ? (below as Values) : {};
  return { ...values, [key]: withValue(inner, rest.join('.'), value) };
};

interface HelmOptions {
  readonly values?: Values;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs helm with `values` as a values file. Answers its standard output; throws SERVER_MISSING with the end of its output when it fails. */
export const helm = async (args: readonly string[], { values, env = {} }: HelmOptions = {}): Promise<string> => {
  const path = await program('helm');
  const folder = await mkdtemp(join(tmpdir(), 'tributary-helm-'));
  try {
    const file = join(folder, 'values.yaml');
    if (values !== undefined) await writeFile(file, stringify(values));
    return await runCommand(path, [...args, ...(values === undefined ? [] : ['--values', file])], {
      purpose: `helm ${args[0]}`,
      // Nothing of the user's own helm or cluster is read or written.
      env: { PATH: process.env['PATH'], HOME: folder, KUBECONFIG: join(folder, 'none'), ...env },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** A helm built from its module does not know which Kubernetes it was made for and takes it for a very old one. */
export const kubeVersion = ['--kube-version', '1.34.0'];

/** The objects the chart makes of `values`, for a release `demo` in the namespace `data`. */
export const render = async (values: Values): Promise<Manifest[]> => {
  const text = await helm(['template', 'demo', chartFolder, '--namespace', 'data', ...kubeVersion], { values });
  return parseAllDocuments(text).flatMap((document) => {
    const object: unknown = document.toJS();
    if (document.errors.length > 0 || (object !== null && !isManifest(object)))
      throw new Error(`helm template wrote a document that is no Kubernetes object: ${String(document)}`);
    return object === null ? [] : [object];
  });
};
