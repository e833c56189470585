// Programs are kept in the user's cache folder, so that a second clone starts at once.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** TRIBUTARY_CACHE, else `tributary` in the XDG cache folder. */
export const cacheFolder = (): string => process.env['TRIBUTARY_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tributary');

/**
 * The folder `name` of the cache, filled by `fill` when it is not there yet.
 * `fill` works in a temporary folder beside it that is renamed at the end: a half-made copy is never seen,
 * and of two clones that fill the same name at once the second throws its copy away.
 */
export const cached = async (name: string, fill: (folder: string) => Promise<void>): Promise<string> => {
  const target = join(cacheFolder(), name);
  if (existsSync(target)) return target;
  await mkdir(dirname(target), { recursive: true });
  const draft = await mkdtemp(join(dirname(target), `.${basename(target)}-`));
  try {
    await fill(draft);
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
};
