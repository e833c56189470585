import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connectorSlugs, connectorTypeOf, loadManifests, manifestOf, typeNamesOf } from './registry.ts';

test('every folder with a manifest is a connector', async () => {
  const manifests = await loadManifests();
  expect(manifests.map((manifest) => manifest.slug)).toEqual(connectorSlugs());
  expect(connectorSlugs()).toContain('postgresql');
});

test.for(connectorSlugs())('%s has a conformance file and a test that runs it', (slug) => {
  for (const file of ['conformance.ts', `${slug}.int.test.ts`]) {
    expect(existsSync(new URL(`./${slug}/${file}`, import.meta.url)), `libs/connectors/src/${slug}/${file}`).toBe(true);
  }
});

test('type names are found in upper and lower case', async () => {
  for (const name of ['POSTGRESQL_SOURCE', 'postgresql_source', 'postgresql-source']) {
    expect(await connectorTypeOf(name)).toMatchObject({ slug: 'postgresql', role: 'source' });
  }
  expect(typeNamesOf(await manifestOf('postgresql'))).toEqual(['POSTGRESQL_SOURCE', 'POSTGRESQL_TARGET']);
});

test.for(['NOSUCH_SOURCE', 'postgresql', 'POSTGRESQL_SINK', '', '../postgresql_source'])('%j is no connector type', async (name) => {
  await expect(connectorTypeOf(name)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});
