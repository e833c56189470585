import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { allValues, leastValues, render, services, type ServiceName } from './chart.ts';
import { containerOf, only, pick, pickList, type Manifest } from './manifest.ts';
import { rootFolder } from './paths.ts';
import { isObtainable, program } from './programs.ts';
import { missingSettings } from './settings.ts';

const canRun = isObtainable('helm') || process.env['CI'] !== undefined;

const inChart = (objects: readonly Manifest[], service: ServiceName): string[] => [
  ...Object.keys(pick(only(objects, 'ConfigMap', service), 'data') as object),
  ...pickList(containerOf(only(objects, 'Deployment', service)), 'env').map((entry) => String(pick(entry, 'name'))),
];

const compose: unknown = parse(readFileSync(join(rootFolder, 'deploy/compose/compose.yaml'), 'utf8'), { merge: true });
const inCompose = (service: ServiceName): string[] => Object.keys(pick(compose, `services.${service}.environment`) as object);

describe.skipIf(!canRun)('the settings of the services', () => {
  let least: Manifest[] = [];
  let all: Manifest[] = [];

  beforeAll(async () => {
    await program('helm', (line) => process.stderr.write(`${line}\n`));
    [least, all] = await Promise.all([render(leastValues), render(allValues)]);
  }, 600_000);

  test.each(services)('%s gets all that it asks for, from the chart and from Compose', { timeout: 60_000 }, async (service) => {
    const asked = await missingSettings(join(rootFolder, 'services', service, 'src/main.ts'));
    expect(asked).toContain('PORT');
    expect(inChart(least, service)).toEqual(expect.arrayContaining(asked));
    expect(inCompose(service)).toEqual(expect.arrayContaining(asked));
  });

  test.each(services)('%s gets nothing from Compose that the chart would not give it', (service) => {
    expect(inChart(all, service)).toEqual(expect.arrayContaining(inCompose(service)));
  });

  test('are complete in .env.example', () => {
    const text = readFileSync(join(rootFolder, 'deploy/compose/compose.yaml'), 'utf8');
    const used = new Set([...text.matchAll(/\$\{([A-Z_]+)/g)].map((match) => match[1]));
    const named = [...readFileSync(join(rootFolder, 'deploy/compose/.env.example'), 'utf8').matchAll(/^([A-Z_]+)=/gm)].map((match) => match[1]);
    expect(new Set(named)).toEqual(used);
  });
});
