/**
 * What runs on the wire between services of different versions is locked: a schema that changes under the same name would be
 * read wrongly by whoever is not yet updated. After cutting a new version (`….v2`), or for a new event or job, write its line
 * into wire.lock.json; a line that is there is never edited.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { expect, test } from 'vitest';
import { envelope } from './events/envelope.ts';
import * as jobs from './jobs.ts';
import { addCounts, balances, noCounts, slotId } from './ops.ts';

const isEvent = (value: unknown): value is { name: string; topic: string; data: z.ZodType } =>
  typeof value === 'object' && value !== null && 'topic' in value && 'data' in value && 'name' in value;
const isJob = (value: unknown): value is { name: string; queue: string; data: z.ZodType } =>
  typeof value === 'object' && value !== null && 'queue' in value && 'data' in value && 'name' in value;

const eventFiles = readdirSync(new URL('./events/', import.meta.url)).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
const eventModules = await Promise.all(eventFiles.map((name) => import(new URL(`./events/${name}`, import.meta.url).href) as Promise<Record<string, unknown>>));
const events = eventModules.flatMap((module) => Object.values(module)).filter(isEvent);
const allJobs = Object.values(jobs).filter(isJob);

/** Keys in order, so that only a change of meaning changes the hash. */
const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
};

const fingerprint = (schema: z.ZodType, ...more: readonly string[]): string => {
  const shape = JSON.stringify([canonical(z.toJSONSchema(schema, { io: 'output' })), ...more]);
  return createHash('sha256').update(shape).digest('hex');
};

/** Counts and checkpoints are kept in targets for years: their fields are as much on the wire as an event's. */
const stored = { counts: Object.keys(noCounts).toSorted().join(), 'slot-id': slotId({ pipelineId: 'p', subscriptionId: 's', slice: 1, slices: 2 }) };

/** Topics as the default namespace has them. */
const present = {
  envelope: fingerprint(envelope),
  ...Object.fromEntries(events.map(({ name, topic, data }) => [name, fingerprint(data, `tributary.${topic}`)])),
  ...Object.fromEntries(allJobs.map(({ name, queue, data }) => [`job ${name}`, fingerprint(data, queue)])),
  ...Object.fromEntries(Object.entries(stored).map(([name, text]) => [`stored ${name}`, createHash('sha256').update(text).digest('hex')])),
};

test('no event, job or stored shape changed under its version', () => {
  const locked = JSON.parse(readFileSync(new URL('./wire.lock.json', import.meta.url), 'utf8')) as Record<string, string>;
  expect(present).toEqual(locked);
});

test('every event has a version and a topic of its own aggregate', () => {
  expect(events.length).toBeGreaterThanOrEqual(7);
  for (const { name, topic } of events) {
    expect(name).toMatch(/^[a-z]+\.[a-z-]+\.v\d+$/);
    expect(topic).toMatch(/^[a-z-]+$/);
  }
});

test('job ids made of slots hold no ":", which BullMQ refuses', () => {
  expect(slotId({ pipelineId: 'p', subscriptionId: 'b0e4', slice: 0, slices: 4 })).toBe('b0e4-4-0');
});

test('counts add up and balance', () => {
  const some = { ...noCounts, read: 5, mapped: 3, filtered: 1, rejected: 1, emitted: 4, written: 3, refused: 1, bytes: 9 };
  expect(balances(some)).toBe(true);
  expect(balances({ ...some, written: 4 })).toBe(false);
  expect(balances({ ...some, read: 6 })).toBe(false);
  expect(balances(addCounts(some, some))).toBe(true);
  expect(addCounts(some, some).bytes).toBe(18);
});
