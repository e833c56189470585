// The life of a release in a real API server: every object checked strictly, then install, upgrade and uninstall.
import assert from 'node:assert/strict';
import { startApiServer, type ApiServer } from './api-server.ts';
import { allValues, helm, leastValues, render, services, withValue, type Values } from './chart.ts';
import { only, pick, pickList, type Manifest } from './manifest.ts';
import { chartFolder } from './paths.ts';

const namespace = 'data';

const plurals: Readonly<Record<string, string>> = {
  ConfigMap: 'configmaps',
  Deployment: 'deployments',
  HorizontalPodAutoscaler: 'horizontalpodautoscalers',
  Ingress: 'ingresses',
  NetworkPolicy: 'networkpolicies',
  PodDisruptionBudget: 'poddisruptionbudgets',
  Secret: 'secrets',
  Service: 'services',
  ServiceAccount: 'serviceaccounts',
};

const collectionOf = ({ apiVersion, kind }: Manifest): string => {
  const plural = plurals[kind];
  assert(plural !== undefined, `the chart makes a ${kind}, whose path in the API is not known here`);
  return `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}/namespaces/${namespace}/${plural}`;
};

/** The definition of ServiceMonitor belongs to the Prometheus operator, which is not here. */
const allValuesHere: Values = withValue(allValues, 'metrics.serviceMonitor.enabled', false);

/**
 * Installs the chart into an API server of its own, upgrades and uninstalls it, and asserts what the server holds after each step.
 * Throws an AssertionError that names the object and the server's own message.
 */
export const checkInstallation = async (log: (line: string) => void): Promise<void> => {
  const started = Date.now();
  const server = await startApiServer(log);
  try {
    const version = pick((await server.call('GET', '/version')).body, 'gitVersion');
    log(`Kubernetes API server ${String(version)} ready in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    await createNamespace(server);
    for (const [name, values] of [
      ['the least values', leastValues],
      ['all options on', allValuesHere],
    ] as const) {
      const objects = await render(values);
      await acceptStrictly(server, objects);
      log(`${name}: ${objects.length} objects accepted under strict validation`);
    }
    await installUpgradeUninstall(server, log);
  } finally {
    await server.stop();
    log('stopped etcd and the API server');
  }
};

const createNamespace = async ({ call }: ApiServer): Promise<void> => {
  // The strictest pod security standard: a pod that asks for more is refused.
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/warn': 'restricted' };
  const { status } = await call('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } });
  assert.equal(status, 201, `the namespace ${namespace} was not created`);
};

/** A dry run in which unknown and doubled fields are errors. helm itself sends objects without that. */
const acceptStrictly = async (server: ApiServer, objects: readonly Manifest[]): Promise<void> => {
  for (const object of objects) {
    const answer = await server.call('POST', `${collectionOf(object)}?dryRun=All&fieldValidation=Strict`, object);
    assert.equal(answer.status, 201, `${object.kind} ${object.metadata.name}: ${String(pick(answer.body, 'message'))}`);
    assert.deepEqual(answer.warnings, [], `${object.kind} ${object.metadata.name}`);
  }
};

const installUpgradeUninstall = async (server: ApiServer, log: (line: string) => void): Promise<void> => {
  const env = { KUBECONFIG: server.kubeconfig };
  const release = ['demo', chartFolder, '--namespace', namespace];
  const stored = async (object: Manifest): Promise<unknown> => {
    const answer = await server.call('GET', `${collectionOf(object)}/${object.metadata.name}`);
    return answer.status === 404 ? undefined : answer.body;
  };
  const assertStored = async (objects: readonly Manifest[], present: boolean): Promise<void> => {
    for (const object of objects) {
      assert.equal((await stored(object)) !== undefined, present, `${object.kind} ${object.metadata.name} is ${present ? 'missing' : 'still there'}`);
    }
  };

  const least = await render(leastValues);
  const notes = await helm(['install', ...release], { values: leastValues, env });
  assert.match(notes, /STATUS: deployed/);
  assert.match(notes, /kubectl --namespace data port-forward service\/demo-tributary-gateway 8080:8080/);
  await assertStored(least, true);
  await podsAreAccepted(server, least);
  log(`installed: ${least.length} objects stored, a pod of each service accepted under the restricted pod security standard`);

  const all = await render(allValuesHere);
  const before = await revisions(least, stored);
  await helm(['upgrade', ...release], { values: allValuesHere, env });
  await assertStored(all, true);
  const autoscaler = await stored(only(all, 'HorizontalPodAutoscaler', 'worker'));
  assert.deepEqual(
    pickList(autoscaler, 'spec.metrics').map((metric) => pick(metric, 'type')),
    ['External', 'Resource', 'External'],
  );
  assert.equal(pick(autoscaler, 'spec.maxReplicas'), 30);
  const after = await revisions(least, stored);
  assert(
    services.every((service) => after[service] !== before[service]),
    'a deployment did not take the upgrade',
  );
  log(`upgraded with all options on: ${all.length} objects stored`);

  const fixed = withValue(allValuesHere, 'worker.autoscaling.enabled', false);
  await helm(['upgrade', ...release], { values: fixed, env });
  assert.equal(await stored(only(all, 'HorizontalPodAutoscaler', 'worker')), undefined, 'the autoscaler is still there');
  assert.equal(pick(await stored(only(all, 'Deployment', 'worker')), 'spec.replicas'), 2);
  const unchanged = await revisions(least, stored);
  assert.deepEqual(
    services.filter((service) => unchanged[service] !== after[service]),
    ['worker'],
    'an upgrade of the worker touched other deployments',
  );
  log('upgraded without the autoscaler: it is gone, the worker alone changed');

  await helm(['rollback', 'demo', '1', '--namespace', namespace], { env });
  await assertStored(least, true);
  assert.equal(await stored(only(all, 'Ingress', 'gateway')), undefined, 'the ingress of a later revision is still there');
  log('rolled back to the first revision');

  await helm(['uninstall', 'demo', '--namespace', namespace], { env });
  await assertStored(all, false);
  log('uninstalled: nothing is left');
};

/** The generation of each deployment: the API server counts it up when the wanted state changes. */
const revisions = async (objects: readonly Manifest[], stored: (object: Manifest) => Promise<unknown>): Promise<Record<string, unknown>> =>
  Object.fromEntries(
    await Promise.all(services.map(async (service) => [service, pick(await stored(only(objects, 'Deployment', service)), 'metadata.generation')] as const)),
  );

/** No controller runs here that would make pods of a deployment, so one of each is sent as a dry run: a deployment's template is not checked as a pod is. */
const podsAreAccepted = async (server: ApiServer, objects: readonly Manifest[]): Promise<void> => {
  for (const service of services) {
    const template = pick(only(objects, 'Deployment', service), 'spec.template');
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: service, labels: pick(template, 'metadata.labels') }, spec: pick(template, 'spec') };
    const answer = await server.call('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
    assert.equal(answer.status, 201, `a pod of ${service}: ${String(pick(answer.body, 'message'))}`);
  }
};
