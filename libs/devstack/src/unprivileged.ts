// Servers that must not run as root are run as nobody when we are root.
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TributaryError } from '@tributary/errors/error';
import { findProgram } from './find-program.ts';

/** By number, the same in every image. */
export const nobody = 65534;

/** How a program is started so that it is not root. */
export interface Identity {
  readonly uid?: number;
  readonly gid?: number;
  readonly wrap: (command: string, args: readonly string[]) => { command: string; args: readonly string[] };
}

/**
 * As any user but root: as we are. As root: as nobody; where nobody may not enter the folders on the way (a clone below /root),
 * with the one capability that lets it pass them. `label` names the server, `programs` is the folder of its programs, `setting` what names another server.
 */
export const chooseIdentity = async (label: string, folder: string, programs: string, setting: string): Promise<Identity> => {
  const asIs: Identity['wrap'] = (command, args) => ({ command, args });
  if (process.getuid?.() !== 0) return { wrap: asIs };
  await mkdir(folder, { recursive: true });
  if ((await isOpen(folder)) && (await isOpen(programs))) return { uid: nobody, gid: nobody, wrap: asIs };
  const setpriv = findProgram(['setpriv']);
  if (setpriv === undefined) {
    throw new TributaryError(
      'SERVER_MISSING',
      `${label} does not run as root, and no other user may enter ${folder}. Move the clone to a folder that all may enter, run as another user, install util-linux (setpriv), or give ${setting}.`,
    );
  }
  const flags = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  return { wrap: (command, args) => ({ command: setpriv, args: [...flags, command, ...args] }) };
};

/** May every user enter this folder and all above it? */
const isOpen = async (folder: string): Promise<boolean> => {
  const { mode } = await stat(folder);
  if ((mode & 0o001) === 0) return false;
  return dirname(folder) === folder || isOpen(dirname(folder));
};
