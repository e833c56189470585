import { loadManifests } from '@tributary/connectors/registry';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { exampleFile } from './example-file.ts';
import { parseSyncFile } from './sync-file.ts';

test('an example of every pair is YAML, and only what is left to fill in is wrong with it', async () => {
  const manifests = await loadManifests();
  for (const from of manifests.filter(({ source }) => source !== undefined)) {
    for (const to of manifests.filter(({ target }) => target !== undefined)) {
      const text = exampleFile(from, to, 'a.yaml');
      expect(parse(text)).toMatchObject({ source: { type: from.slug }, target: { type: to.slug } });
      const environment = Object.fromEntries([...text.matchAll(/\$\{([A-Z_]+_[A-Z_]+)\}/g)].map(([, name]) => [name, 'x']));
      const problem = await parseSyncFile('a.yaml', text, environment).then(
        () => '',
        (error: unknown) => String(error),
      );
      for (const line of problem.split('\n').filter((one) => one !== '')) expect(line).toMatch(/is empty; give it a value\.$/);
    }
  }
});
