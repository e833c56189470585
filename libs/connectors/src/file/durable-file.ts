/** Files that are whole or absent after any crash. */
import { link, mkdir, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';

/** Makes the names in a folder durable. */
const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Makes the folder and its missing ancestors, durably. */
export const makeFolder = async (folder: string): Promise<void> => {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = path.dirname(made)) await syncFolder(path.dirname(made));
};

const writeTemporary = async (file: string, tag: string, contents: Buffer | string): Promise<string> => {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${tag}.tmp`);
  const handle = await open(temporary, 'w');
  try {
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return temporary;
};

/** Writes a file that appears under its name only when it is whole and on disk. `tag` tells writers of one name apart. */
export const writeDurable = async (file: string, tag: string, contents: Buffer): Promise<void> => {
  await rename(await writeTemporary(file, tag, contents), file);
  await syncFolder(path.dirname(file));
};

/** The same, but only if no file has that name yet: whole and exclusive in one step, by a hard link. False when there is one. */
export const writeExclusive = async (file: string, tag: string, contents: string): Promise<boolean> => {
  const temporary = await writeTemporary(file, tag, contents);
  try {
    await link(temporary, file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(temporary);
  }
  await syncFolder(path.dirname(file));
  return true;
};
