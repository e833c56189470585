import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { services } from './chart.ts';
import { chartFolder } from './paths.ts';

const isObject = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === 'object' && !Array.isArray(value);

const leavesOf = (value: unknown, path = ''): string[] =>
  isObject(value) && Object.keys(value).length > 0
    ? Object.entries(value).flatMap(([key, below]) => leavesOf(below, path === '' ? key : `${path}.${key}`))
    : [path];

/** The path itself and all paths above it. */
const ancestry = (path: string): string[] => path.split('.').map((_key, index, keys) => keys.slice(0, index + 1).join('.'));

const leaves = leavesOf(parse(readFileSync(join(chartFolder, 'values.yaml'), 'utf8')));
const rows = (readFileSync(join(chartFolder, 'README.md'), 'utf8').split('\n## Values\n')[1] ?? '').split('\n').filter((line) => line.startsWith('| `'));
const documented = rows
  .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''))
  .flatMap((name) => (name.startsWith('<service>.') ? services.map((service) => name.replace('<service>', service)) : [name]));

test('every value of the chart is in the table of its README', () => {
  expect(leaves.filter((leaf) => !ancestry(leaf).some((path) => documented.includes(path)))).toEqual([]);
});

test('the table names no value that does not exist', () => {
  const known = new Set(leaves.flatMap(ancestry));
  // The worker's Service is headless and has no settings.
  expect(documented.filter((name) => !known.has(name) && !name.startsWith('worker.service.'))).toEqual([]);
});
