import { test } from 'vitest';
import { checkInstallation } from './installation.ts';
import { isBuilt } from './programs.ts';

// A first build takes minutes; `npm run install-chart` in this folder does it, and from then on this runs with the other tests.
const built = isBuilt('helm') && isBuilt('etcd') && isBuilt('kube-apiserver');

test.skipIf(!built)('the chart is accepted, upgraded and taken away by a Kubernetes API server', { timeout: 180_000 }, async () => {
  await checkInstallation((line) => process.stderr.write(`${line}\n`));
});
