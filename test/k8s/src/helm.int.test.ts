import { beforeAll, describe, expect, test } from 'vitest';
import { allValues, helm, kubeVersion, leastValues, ports, render, services, testSecrets, withValue, type ServiceName, type Values } from './chart.ts';
import { containerOf, only, pick, pickList, type Manifest } from './manifest.ts';
import { chartFolder } from './paths.ts';
import { isObtainable, program } from './programs.ts';

// Building helm takes up to two minutes on two cores, the first time.
const buildWithinMs = 600_000;
const canRun = isObtainable('helm') || process.env['CI'] !== undefined;
if (!canRun) process.stderr.write('The tests of the Helm chart are skipped: Go, which builds helm, is not on PATH.\n');

const plainOf = (objects: readonly Manifest[], service: ServiceName): Record<string, string> =>
  pick(only(objects, 'ConfigMap', service), 'data') as Record<string, string>;

const secretNamesOf = (objects: readonly Manifest[], service: ServiceName): string[] =>
  pickList(containerOf(only(objects, 'Deployment', service)), 'env').flatMap((entry) => {
    const key = pick(entry, 'valueFrom.secretKeyRef.key');
    return typeof key === 'string' ? [key] : [];
  });

const refusal = async (values: Values): Promise<string> => {
  try {
    await render(values);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('helm accepted values it should refuse');
};

describe.skipIf(!canRun)('the Helm chart', () => {
  let least: Manifest[] = [];
  let all: Manifest[] = [];

  beforeAll(async () => {
    await program('helm', (line) => process.stderr.write(`${line}\n`));
    [least, all] = await Promise.all([render(leastValues), render(allValues)]);
  }, buildWithinMs);

  test.each([
    ['the least values', leastValues],
    ['all options on', allValues],
  ])('passes lint with %s', async (_name, values) => {
    expect(await helm(['lint', chartFolder, '--strict', ...kubeVersion], { values })).toContain('0 chart(s) failed');
  });

  test('gives each service a deployment, a service on its port, an account and a disruption budget', () => {
    for (const service of services) {
      expect(pickList(containerOf(only(least, 'Deployment', service)), 'ports')).toEqual([{ name: 'http', containerPort: ports[service], protocol: 'TCP' }]);
      expect(pick(only(least, 'Service', service), 'spec.ports.0.port')).toBe(ports[service]);
      expect(pick(only(least, 'ServiceAccount', service), 'automountServiceAccountToken')).toBe(false);
      expect(pick(only(least, 'PodDisruptionBudget', service), 'spec.maxUnavailable')).toBe(1);
      expect(plainOf(least, service)['PORT']).toBe(String(ports[service]));
    }
    expect(pick(only(least, 'Service', 'worker'), 'spec.clusterIP')).toBe('None');
    expect(pick(only(least, 'Service', 'gateway'), 'spec.clusterIP')).toBeUndefined();
  });

  test('selects with each service the pods of its own deployment', () => {
    for (const service of services) {
      const labels = pick(only(all, 'Deployment', service), 'spec.template.metadata.labels');
      expect(labels).toMatchObject(pick(only(all, 'Deployment', service), 'spec.selector.matchLabels') as object);
      expect(labels).toMatchObject(pick(only(all, 'Service', service), 'spec.selector') as object);
      expect((labels as Record<string, string>)['app.kubernetes.io/component']).toBe(service);
    }
  });

  test('gives each service the settings it needs and no other', () => {
    const stores = ['NAMESPACE', 'MONGO_DATABASE', 'KAFKA_BROKERS', 'KAFKA_SECURITY_PROTOCOL'];
    const sasl = ['KAFKA_SASL_MECHANISM', 'KAFKA_SASL_USERNAME', 'KAFKA_CA_CERT'];
    const common = ['NODE_ENV', 'LOG_LEVEL', 'PORT'];
    const expected: Record<ServiceName, { plain: string[]; plainOfAll: string[] }> = {
      gateway: { plain: ['NAMESPACE', 'PIPELINES_URL', 'CONNECTORS_URL'], plainOfAll: ['CORS_ORIGINS'] },
      connectors: { plain: ['MONGO_DATABASE', 'PIPELINES_URL', 'HOME'], plainOfAll: ['CONNECTOR_FILE_ROOT'] },
      pipelines: { plain: [...stores, 'CONNECTORS_URL'], plainOfAll: [...sasl, 'SUPERUSER_EMAIL'] },
      worker: { plain: [...stores, 'PIPELINES_URL', 'CONNECTORS_URL', 'WORKER_SLOTS', 'HOME'], plainOfAll: [...sasl, 'CONNECTOR_FILE_ROOT'] },
    };
    for (const service of services) {
      const { plain, plainOfAll } = expected[service];
      expect(Object.keys(plainOf(least, service)).toSorted()).toEqual([...common, ...plain].toSorted());
      expect(Object.keys(plainOf(all, service)).toSorted()).toEqual([...common, ...plain, ...plainOfAll].toSorted());
    }
    expect(plainOf(all, 'worker')).toMatchObject({ KAFKA_BROKERS: 'kafka-0:9093,kafka-1:9093', WORKER_SLOTS: '16', CONNECTOR_FILE_ROOT: '/data' });
    expect(plainOf(all, 'worker')).toMatchObject({ NAMESPACE: 'team-a' });
    expect(plainOf(least, 'worker')).toMatchObject({
      NAMESPACE: 'tributary',
      PIPELINES_URL: 'http://demo-tributary-pipelines:8010',
      CONNECTORS_URL: 'http://demo-tributary-connectors:8009',
    });
  });

  test('gives each service the secrets it needs and no other', () => {
    expect(Object.fromEntries(services.map((service) => [service, secretNamesOf(least, service)]))).toEqual({
      gateway: ['REDIS_URL', 'JWT_SECRET'],
      connectors: ['MONGO_URI', 'SERVICE_TOKEN', 'CONNECTOR_ENCRYPTION_KEY'],
      pipelines: ['MONGO_URI', 'JWT_SECRET', 'SERVICE_TOKEN'],
      worker: ['MONGO_URI', 'REDIS_URL', 'SERVICE_TOKEN'],
    });
    expect(services.filter((service) => secretNamesOf(all, service).includes('KAFKA_SASL_PASSWORD'))).toEqual(['pipelines', 'worker']);
    expect(services.filter((service) => secretNamesOf(all, service).includes('SUPERUSER_PASSWORD'))).toEqual(['pipelines']);
    expect(services.filter((service) => secretNamesOf(all, service).includes('CONNECTOR_ENCRYPTION_KEY'))).toEqual(['connectors']);
  });

  test('keeps every secret in the Secret alone', () => {
    const secrets = Object.values(allValues['secrets'] as Record<string, string>);
    for (const object of all) {
      const text = JSON.stringify(object);
      for (const secret of secrets) expect(text.includes(secret), `${object.kind} ${object.metadata.name}`).toBe(object.kind === 'Secret');
    }
  });

  test('has every key that a pod refers to in its Secret', () => {
    const keys = Object.keys(pick(only(all, 'Secret', 'demo-tributary'), 'stringData') as object);
    expect(new Set(services.flatMap((service) => secretNamesOf(all, service)))).toEqual(new Set(keys));
  });

  test('takes an existing Secret and makes none then', async () => {
    const objects = await render({ kafka: leastValues['kafka'], secrets: { existingSecret: 'mine' } });
    expect(objects.filter((object) => object.kind === 'Secret')).toEqual([]);
    for (const service of services) {
      const names = pickList(containerOf(only(objects, 'Deployment', service)), 'env').map((entry) => pick(entry, 'valueFrom.secretKeyRef.name'));
      expect(new Set(names)).toEqual(new Set(['mine']));
    }
  });

  test('probes every service', () => {
    for (const service of services) {
      const container = containerOf(only(all, 'Deployment', service));
      expect(pick(container, 'startupProbe.httpGet')).toEqual({ path: '/livez', port: 'http' });
      expect(pick(container, 'livenessProbe.httpGet')).toEqual({ path: '/livez', port: 'http' });
      expect(pick(container, 'readinessProbe.httpGet')).toEqual({ path: '/readyz', port: 'http' });
    }
  });

  test('runs every service without rights, on a read-only filesystem', () => {
    for (const service of services) {
      const deployment = only(least, 'Deployment', service);
      expect(pick(deployment, 'spec.template.spec.securityContext')).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 1000,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(pick(containerOf(deployment), 'securityContext')).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(pick(deployment, 'spec.template.spec.automountServiceAccountToken')).toBe(false);
      expect(pick(containerOf(deployment), 'resources.requests.memory')).toBeDefined();
      expect(pick(containerOf(deployment), 'resources.limits.memory')).toBeDefined();
    }
  });

  test('replaces pods one after the other, and leaves workers the time to hand back their work', () => {
    for (const service of services) expect(pick(only(least, 'Deployment', service), 'spec.strategy.rollingUpdate.maxUnavailable')).toBe(0);
    expect(pick(only(least, 'Deployment', 'worker'), 'spec.template.spec.terminationGracePeriodSeconds')).toBe(60);
  });

  test('replaces the pods of the one service whose setting changed', async () => {
    const changed = await render(withValue(leastValues, 'gateway.corsOrigins', ['https://console.example.com']));
    const checksums = (objects: readonly Manifest[]): unknown[] =>
      services.map((service) => pick(only(objects, 'Deployment', service), 'spec.template.metadata.annotations.checksum/config'));
    expect(checksums(changed).map((checksum, index) => checksum !== checksums(least)[index])).toEqual([true, false, false, false]);
  });

  test('scales the worker alone', () => {
    for (const objects of [least, all]) {
      const autoscalers = objects.filter((object) => object.kind === 'HorizontalPodAutoscaler');
      expect(autoscalers.map((object) => pick(object, 'spec.scaleTargetRef'))).toEqual([
        { apiVersion: 'apps/v1', kind: 'Deployment', name: 'demo-tributary-worker' },
      ]);
      // A number of its own in the deployment would undo the autoscaler's at every upgrade.
      expect(pick(only(objects, 'Deployment', 'worker'), 'spec.replicas')).toBeUndefined();
    }
    expect(pick(only(all, 'Deployment', 'gateway'), 'spec.replicas')).toBe(3);
  });

  test('follows CPU unless told otherwise, and scales down slowly', () => {
    const autoscaler = only(least, 'HorizontalPodAutoscaler', 'worker');
    expect(pick(autoscaler, 'spec.metrics')).toEqual([
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } } },
    ]);
    expect(pick(autoscaler, 'spec.behavior.scaleDown.stabilizationWindowSeconds')).toBe(300);
  });

  test('follows the slots wanted for each worker from an external metric', () => {
    expect(pickList(only(all, 'HorizontalPodAutoscaler', 'worker'), 'spec.metrics')[0]).toEqual({
      type: 'External',
      external: {
        metric: { name: 'tributary_wanted_slots', selector: { matchLabels: { namespace: 'tributary' } } },
        target: { type: 'AverageValue', averageValue: '16' },
      },
    });
  });

  test('follows them from a metric of the Service, too', async () => {
    const wantedSlots = { enabled: true, source: 'Object', slotsPerWorker: 4 };
    const objects = await render(withValue(withValue(leastValues, 'worker.autoscaling.wantedSlots', wantedSlots), 'worker.autoscaling.cpu.enabled', false));
    expect(pick(only(objects, 'HorizontalPodAutoscaler', 'worker'), 'spec.metrics')).toEqual([
      {
        type: 'Object',
        object: {
          describedObject: { apiVersion: 'v1', kind: 'Service', name: 'demo-tributary-worker' },
          metric: { name: 'tributary_wanted_slots' },
          target: { type: 'AverageValue', averageValue: '4' },
        },
      },
    ]);
  });

  test('keeps a fixed number of workers without the autoscaler', async () => {
    const objects = await render(withValue(withValue(leastValues, 'worker.autoscaling.enabled', false), 'worker.replicas', 5));
    expect(objects.some((object) => object.kind === 'HorizontalPodAutoscaler')).toBe(false);
    expect(pick(only(objects, 'Deployment', 'worker'), 'spec.replicas')).toBe(5);
  });

  test('lets the gateway alone be reached from outside', () => {
    const ingress = all.filter((object) => object.kind === 'Ingress');
    expect(ingress.map((object) => pick(object, 'spec.rules.0.http.paths.0.backend.service'))).toEqual([
      { name: 'demo-tributary-gateway', port: { name: 'http' } },
    ]);
    expect(least.some((object) => object.kind === 'Ingress')).toBe(false);
    const callers = (service: ServiceName): unknown[] =>
      pickList(only(all, 'NetworkPolicy', service), 'spec.ingress').flatMap((rule) =>
        pickList(rule, 'from').map((peer) => {
          const labels = pick(peer, 'podSelector.matchLabels') ?? pick(peer, 'namespaceSelector.matchLabels');
          return (labels as Record<string, string>)['app.kubernetes.io/component'] ?? (labels as Record<string, string>)['kubernetes.io/metadata.name'];
        }),
      );
    expect(callers('gateway')).toEqual(['ingress', 'monitoring']);
    expect(callers('connectors')).toEqual(['gateway', 'pipelines', 'worker', 'monitoring']);
    expect(callers('pipelines')).toEqual(['gateway', 'connectors', 'worker', 'monitoring']);
    expect(callers('worker')).toEqual(['monitoring']);
  });

  test('lets nobody reach a worker when nobody scrapes it', async () => {
    const objects = await render(withValue(leastValues, 'networkPolicy.enabled', true));
    expect(pick(only(objects, 'NetworkPolicy', 'worker'), 'spec.ingress')).toEqual([]);
    // A rule without `from` admits everyone.
    expect(pickList(only(objects, 'NetworkPolicy', 'gateway'), 'spec.ingress')).toEqual([{ ports: [{ port: 'http', protocol: 'TCP' }] }]);
  });

  test('has every service scraped by either kind of Prometheus', () => {
    for (const service of services) {
      expect(pick(only(least, 'Deployment', service), 'spec.template.metadata.annotations')).toMatchObject({ 'prometheus.io/port': String(ports[service]) });
    }
    const selector = pick(only(all, 'ServiceMonitor', 'demo-tributary'), 'spec.selector.matchLabels') as object;
    for (const service of services) expect(only(all, 'Service', service).metadata.labels).toMatchObject(selector);
  });

  test('names its images by service', () => {
    expect(services.map((service) => pick(containerOf(only(all, 'Deployment', service)), 'image'))).toEqual(
      services.map((service) => `registry.example.com/data/tributary-${service}:1.2.3`),
    );
    expect(pick(containerOf(only(least, 'Deployment', 'worker')), 'image')).toBe('tributary-worker:0.1.0');
  });

  test.each([
    ['no broker', { secrets: testSecrets }, 'kafka.brokers is needed'],
    ['no MongoDB address', withValue(leastValues, 'secrets.mongoUri', ''), 'secrets.mongoUri is needed'],
    ['no Redis address', withValue(leastValues, 'secrets.redisUrl', ''), 'secrets.redisUrl is needed'],
    ['no token secret', withValue(leastValues, 'secrets.jwtSecret', ''), 'secrets.jwtSecret is needed: make one with'],
    ['no service token', withValue(leastValues, 'secrets.serviceToken', ''), 'secrets.serviceToken is needed: make one with'],
    ['no encryption key', withValue(leastValues, 'secrets.connectorEncryptionKey', ''), 'secrets.connectorEncryptionKey is needed: make one with'],
    ['a short token secret', withValue(leastValues, 'secrets.jwtSecret', 'marmalade'), 'secrets.jwtSecret is too short'],
    ['an encryption key of another kind', withValue(leastValues, 'secrets.connectorEncryptionKey', 'marmalade'), 'is not a Fernet key'],
    ['SASL without a user', withValue(leastValues, 'kafka.securityProtocol', 'SASL_SSL'), 'kafka.sasl.mechanism is needed'],
    ['a superuser without a password', withValue(leastValues, 'pipelines.superuser.email', 'a@example.com'), 'secrets.superuserPassword is needed'],
    [
      'a Secret and its values',
      withValue(leastValues, 'secrets.existingSecret', 'mine'),
      'secrets.existingSecret and secrets.connectorEncryptionKey are both set',
    ],
    ['an ingress without a host', withValue(leastValues, 'ingress.enabled', true), 'ingress.hosts is needed'],
    ['an autoscaler that follows nothing', withValue(leastValues, 'worker.autoscaling.cpu.enabled', false), 'has nothing to follow'],
    ['fewer workers at most than at least', withValue(leastValues, 'worker.autoscaling.maxReplicas', 1), 'is less than worker.autoscaling.minReplicas'],
    ['a value that does not exist', withValue(leastValues, 'worker.replica', 3), "additional properties 'replica' not allowed"],
    ['a value of the wrong type', withValue(leastValues, 'worker.replicas', 'many'), "at '/worker/replicas': got string, want integer"],
    ['a broker without a port', withValue(leastValues, 'kafka.brokers', ['kafka']), "at '/kafka/brokers/0'"],
    [
      'a protocol that does not exist',
      withValue(leastValues, 'kafka.securityProtocol', 'TLS'),
      "value must be one of 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'",
    ],
  ])('refuses %s, and says so', async (_name, values, message) => {
    const said = await refusal(values);
    expect(said).toContain(message);
    expect(said).not.toContain('marmalade');
  });
});
