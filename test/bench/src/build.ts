/** Builds peers once: again only when their sources changed. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/** @throws with the end of the output when the command fails or is not there. */
export const run = async ({ program, args, cwd }: Command): Promise<string> => {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const failed = new Promise<string | null>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code === 0 ? null : `${signal ?? `code ${code}`}`));
  });
  const [output, errors, failure] = await Promise.all([text(child.stdout), text(child.stderr), failed]);
  if (failure === null) return `${output}${errors}`;
  const end = `${output}${errors}`.trim().split('\n').slice(-5).join('\n');
  throw new Error(`${program} failed (${failure}). ${end}`);
};

const digestOf = async (folder: string): Promise<string> => {
  const hash = createHash('sha256');
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  for (const entry of entries.filter((one) => one.isFile()).toSorted((a, b) => (join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1))) {
    hash.update(entry.name).update(await readFile(join(entry.parentPath, entry.name)));
  }
  return hash.digest('hex');
};

/** Runs `commands` with the built files in `folder`, unless they are of these sources already. */
export const buildOnce = async (sources: string, folder: string, commands: readonly Command[]): Promise<void> => {
  const stamp = join(folder, 'sources.sha256');
  const digest = await digestOf(sources);
  if ((await readFile(stamp, 'utf8').catch(() => '')) === digest) return;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const command of commands) await run(command);
  await writeFile(stamp, digest);
};

/** The version of an artifact in the pom.xml of `folder`. */
export const versionInPom = async (folder: string, artifact: string): Promise<string> =>
  new RegExp(`<artifactId>${artifact}</artifactId><version>([^<]+)`).exec(await readFile(join(folder, 'pom.xml'), 'utf8'))?.[1] ?? 'of unknown version';
