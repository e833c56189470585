// Writes the files that are generated and kept in git. CI runs it and fails when that changes anything.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openApiDocument } from '@tributary/contracts/openapi';

const root = dirname(import.meta.dirname);

const generated: Record<string, () => string> = {
  'docs/openapi.json': () => `${JSON.stringify(openApiDocument(), undefined, 2)}\n`,
};

for (const [path, content] of Object.entries(generated)) {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content());
  console.log(`wrote ${path}`);
}
