/**
 * The chain of manifests of one slot: `_manifests/<slot>-<number>.json`, numbers rising by one, each created exclusively.
 *
 * Reading rule: a part file counts when a manifest or a list names it. A list `<slot>-<first>-<last>.list.json` replaces the manifests
 * up to number `last`, which are then removed (all but the newest). Whoever finds a manifest gone that the folder listed, lists again.
 *
 * Fencing (I2): every claim takes the next number, so an older owner's exclusive create of that number fails, or lands on a number
 * that a list already replaces; both mean that it was fenced, and readers ignore what it made.
 */
import { readdir, readFile, unlink } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { Checkpoint } from '@tributary/contracts/ops';
import { writeExclusive } from './durable-file.ts';

const partsSchema = z.object({
  /** File names in the table's folder. */
  parts: z.array(z.string()),
  /** Part files of rejected rows, relative to the table's folder. */
  errors: z.array(z.string()),
});

const manifestSchema = partsSchema.extend({
  version: z.literal(1),
  kind: z.enum(['claim', 'commit']),
  slot: z.string(),
  epoch: z.number().int(),
  /** Who wrote it: the owner's slot and epoch; another slot's when slices were laid out anew. */
  owner: z.string(),
  checkpoint: z.object({ position: z.record(z.string(), z.string()), counts: z.record(z.string(), z.number()) }).nullable(),
});

const listSchema = partsSchema.extend({ version: z.literal(1) });

type StoredManifest = z.infer<typeof manifestSchema>;
export type Manifest = Omit<StoredManifest, 'checkpoint'> & { readonly checkpoint: Checkpoint | null };
export type Parts = z.infer<typeof partsSchema>;

/** Slot name, number: names of chains end in no digits of their own, since a number has twelve. */
const manifestName = /^(.+)-(\d{12})\.json$/;
const listName = /^(.+)-(\d{12})-(\d{12})\.list\.json$/;

const digits = (number: number): string => String(number).padStart(12, '0');

export const manifestsFolder = (tableFolder: string): string => path.join(tableFolder, '_manifests');

/** An owner as part of a temporary file's name: `<slot>_<epoch>`. */
export const writerTag = (owner: string): string => owner.replaceAll(/[^\w-]/g, '_');

const isGone = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

interface Chain {
  /** Numbers of the manifests present, rising. */
  readonly numbers: readonly number[];
  readonly lists: readonly { readonly file: string; readonly last: number }[];
  /** Number up to which lists have replaced manifests; 0 for none. */
  readonly listed: number;
}

const noChain: Chain = { numbers: [], lists: [], listed: 0 };

/** All chains in a table's folder by slot name. An absent folder has none. */
export const listChains = async (tableFolder: string): Promise<Map<string, Chain>> => {
  let names: string[];
  try {
    names = await readdir(manifestsFolder(tableFolder));
  } catch (error) {
    if (isGone(error)) return new Map();
    throw error;
  }
  const chains = new Map<string, { numbers: number[]; lists: { file: string; last: number }[]; listed: number }>();
  const chainOf = (slot: string) => {
    const chain = chains.get(slot) ?? { numbers: [], lists: [], listed: 0 };
    chains.set(slot, chain);
    return chain;
  };
  for (const name of names.sort()) {
    const list = listName.exec(name);
    if (list !== null) {
      const chain = chainOf(list[1] ?? '');
      const last = Number(list[3]);
      chain.lists.push({ file: name, last });
      chain.listed = Math.max(chain.listed, last);
      continue;
    }
    const manifest = manifestName.exec(name);
    if (manifest !== null && !name.startsWith('.')) chainOf(manifest[1] ?? '').numbers.push(Number(manifest[2]));
  }
  return chains;
};

export const chainOf = async (tableFolder: string, slot: string): Promise<Chain> => (await listChains(tableFolder)).get(slot) ?? noChain;

export const manifestFile = (tableFolder: string, slot: string, number: number): string =>
  path.join(manifestsFolder(tableFolder), `${slot}-${digits(number)}.json`);

/** Null when it is gone, replaced by a list. */
export const readManifest = async (tableFolder: string, slot: string, number: number): Promise<Manifest | null> => {
  try {
    return manifestSchema.parse(JSON.parse(await readFile(manifestFile(tableFolder, slot, number), 'utf8'))) as Manifest;
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
};

/** The newest manifest of a slot with its number; number 0 when there is none. */
export const readLatest = async (tableFolder: string, slot: string): Promise<{ readonly number: number; readonly manifest: Manifest | null }> => {
  for (;;) {
    const number = (await chainOf(tableFolder, slot)).numbers.at(-1);
    if (number === undefined) return { number: 0, manifest: null };
    const manifest = await readManifest(tableFolder, slot, number);
    if (manifest !== null) return { number, manifest };
  }
};

/** Adds a manifest under `number`; false when that number is taken or already replaced by a list: somebody else owns the slot. */
export const addManifest = async (tableFolder: string, manifest: Manifest, number: number): Promise<boolean> => {
  const file = manifestFile(tableFolder, manifest.slot, number);
  if (!(await writeExclusive(file, writerTag(manifest.owner), JSON.stringify(manifest)))) return false;
  // I2: an owner that slept while its heirs went on and compacted finds its number free again, but behind a list.
  if ((await chainOf(tableFolder, manifest.slot)).listed < number) return true;
  await unlink(file).catch((error: unknown) => {
    if (!isGone(error)) throw error;
  });
  return false;
};

/** Parts of one slot in the order of their commits. */
export const readParts = async (tableFolder: string, slot: string): Promise<Parts> => {
  for (;;) {
    const { numbers, lists, listed } = await chainOf(tableFolder, slot);
    // Sets, since two owners that compact at once leave lists that overlap.
    const parts = new Set<string>();
    const errors = new Set<string>();
    const include = (more: Parts): void => {
      for (const part of more.parts) parts.add(part);
      for (const part of more.errors) errors.add(part);
    };
    for (const { file } of lists) include(listSchema.parse(JSON.parse(await readFile(path.join(manifestsFolder(tableFolder), file), 'utf8'))));
    let complete = true;
    for (const number of numbers) {
      if (number <= listed) continue;
      const manifest = await readManifest(tableFolder, slot, number);
      if (manifest === null) {
        complete = false;
        break;
      }
      include(manifest);
    }
    if (complete) return { parts: [...parts], errors: [...errors] };
  }
};

/** Replaces all manifests before the newest by one list. Called by the slot's owner; harmless when a crash ends it half-way. */
export const compact = async (tableFolder: string, slot: string, owner: string): Promise<void> => {
  const { numbers, listed } = await chainOf(tableFolder, slot);
  const old = numbers.filter((number) => number > listed).slice(0, -1);
  const [first, last] = [old[0], old.at(-1)];
  if (first !== undefined && last !== undefined) {
    const all: Parts = { parts: [], errors: [] };
    for (const number of old) {
      const manifest = await readManifest(tableFolder, slot, number);
      if (manifest === null) return;
      all.parts.push(...manifest.parts);
      all.errors.push(...manifest.errors);
    }
    const file = path.join(manifestsFolder(tableFolder), `${slot}-${digits(first)}-${digits(last)}.list.json`);
    await writeExclusive(file, writerTag(owner), JSON.stringify({ version: 1, ...all }));
  }
  const replaced = Math.max(listed, last ?? 0);
  for (const number of numbers)
    if (number <= replaced)
      await unlink(manifestFile(tableFolder, slot, number)).catch((error: unknown) => {
        if (!isGone(error)) throw error;
      });
};
