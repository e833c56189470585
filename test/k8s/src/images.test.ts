import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ports } from './chart.ts';
import { copyContext, prune, readTargets, undeclaredImports } from './images.ts';

describe('the images', () => {
  let context = '';

  beforeAll(async () => {
    context = await mkdtemp(join(tmpdir(), 'tributary-images-'));
    await copyContext(context);
  });

  afterAll(async () => {
    await rm(context, { recursive: true, force: true });
  });

  test('are built without tests, secrets and work files', async () => {
    expect((await readdir(context)).toSorted()).toEqual(['.npmrc', 'libs', 'package-lock.json', 'package.json', 'services', 'turbo.json']);
    const names = await readdir(context, { recursive: true });
    expect(names.filter((name) => /\.test\.ts$|node_modules|\.env|\.log$/.test(name))).toEqual([]);
  });

  test.each(readTargets())('have of $service what it runs on and nothing else', { timeout: 60_000 }, async (target) => {
    const full = join(await prune(context, target), 'full');
    expect(target.port).toBe(ports[target.service]);
    expect(existsSync(join(full, target.main)), target.main).toBe(true);
    expect(await readdir(join(full, 'services'))).toEqual([target.service]);
    const libraries = await readdir(join(full, 'libs'));
    expect(libraries).not.toContain('devstack');
    expect(libraries).not.toContain('conformance');
    expect(await undeclaredImports(full)).toEqual([]);
  });
});
