/** Passwords are kept as argon2id hashes, with the parameters the OWASP password storage cheat sheet names (19 MiB, 2 passes). */

// The native module loads with the first password, not with the service; Node keeps it from then on.
const argon2 = () => import('@node-rs/argon2');

export const hashPassword = async (password: string): Promise<string> => (await argon2()).hash(password);

export const isPassword = async (hash: string, password: string): Promise<boolean> => (await argon2()).verify(hash, password);

let decoy: Promise<string> | null = null;

/** Takes the time of a real comparison and fails: an unknown account answers no faster than a wrong password. */
export const refusePassword = async (password: string): Promise<void> => {
  await isPassword(await (decoy ??= hashPassword('nobody has this password')), password);
};
