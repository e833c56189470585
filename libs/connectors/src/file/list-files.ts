/** The files that the source's path or glob names. */
import { glob, stat } from 'node:fs/promises';
import path from 'node:path';
import { confine } from '@tributary/connector-sdk/file-root';

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

const isFile = async (absolute: string): Promise<boolean> => {
  try {
    return (await stat(absolute)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
};

export const isGlob = (pattern: string): boolean => /[*?[\]{}]/.test(pattern);

/** The files that a path or glob names, relative to the root with `/`, sorted; hidden files (such as those being written) are left out. */
export const listFiles = async (root: string, pattern: string): Promise<string[]> => {
  if (await isFile(await confine(root, pattern))) return [path.normalize(pattern).replaceAll(path.sep, '/')];
  if (!isGlob(pattern)) return [];
  const found: string[] = [];
  for await (const match of glob(pattern, { cwd: root })) {
    if (match.split(path.sep).some((part) => part.startsWith('.'))) continue;
    if (await isFile(await confine(root, match))) found.push(match.replaceAll(path.sep, '/'));
  }
  return found.sort();
};
