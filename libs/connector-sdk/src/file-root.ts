/** Keeps every path inside the operator's file root, whatever `..` or symbolic links say. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { TributaryError } from '@tributary/errors/error';
import { connectorSettings } from './settings.ts';

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/** The real path of the operator's root folder. */
export const fileRoot = async (): Promise<string> => {
  const root = connectorSettings.fileRoot;
  if (root === null)
    throw new TributaryError(
      'UNSUPPORTED',
      'This installation reads and writes no files: its operator has to set CONNECTOR_FILE_ROOT to the folder that file connectors may use.',
    );
  try {
    return await realpath(root);
  } catch (error) {
    if (isMissing(error))
      throw new TributaryError('CONFIG_INVALID', 'The folder that CONNECTOR_FILE_ROOT names does not exist; its operator has to create it.', { cause: error });
    throw error;
  }
};

const outside = (relative: string): TributaryError =>
  new TributaryError('CONFIG_INVALID', `Path "${relative}" leads out of the folder that file connectors may use; give a path inside it, relative to it.`);

const refuseOutsideText = (relative: string): void => {
  if (relative.includes('\0') || path.isAbsolute(relative) || relative.split(/[\\/]/).includes('..')) throw outside(relative);
};

/** The real path of the nearest ancestor of `absolute` that exists, with the missing rest appended. */
const realpathAsFar = async (absolute: string): Promise<string> => {
  try {
    return await realpath(absolute);
  } catch (error) {
    if (!isMissing(error)) throw error;
    const parent = path.dirname(absolute);
    if (parent === absolute) throw error;
    return path.join(await realpathAsFar(parent), path.basename(absolute));
  }
};

/**
 * The absolute path of `relative`, which need not exist yet.
 * @throws CONFIG_INVALID when it is absolute, climbs by `..` or passes a symbolic link out of the root.
 */
export const confine = async (root: string, relative: string): Promise<string> => {
  refuseOutsideText(relative);
  const real = await realpathAsFar(path.join(root, relative));
  if (real !== root && !real.startsWith(root + path.sep)) throw outside(relative);
  return real;
};
