import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The full path of the first of `names` found on PATH, or in `folders` after it. */
export const findProgram = (names: readonly string[], folders: readonly string[] = []): string | undefined => findPrograms(names, folders)[0];

/** Every match, in the order of PATH. */
export const findPrograms = (names: readonly string[], folders: readonly string[] = []): string[] => {
  const places = [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...folders];
  return names.flatMap((name) => places.map((place) => join(place, name)).filter(isExecutable));
};

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};
