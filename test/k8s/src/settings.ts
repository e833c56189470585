import { execFile } from 'node:child_process';

/**
 * Starts a service's main.ts with an empty environment and answers the settings it asks for. Those that have a default are not among them.
 * Throws with the end of its output when it fails for another reason, such as a package that is not there.
 */
export const missingSettings = async (main: string): Promise<string[]> => {
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, ['--disable-warning=ExperimentalWarning', main], { env: {}, timeout: 30_000 }, (_error, stdout, stderr) =>
      resolve(`${stdout}${stderr}`),
    );
  });
  const message = /Settings are wrong or missing: ([^"\n]*)/.exec(output)?.[1];
  if (message === undefined) throw new Error(`${main} does not ask for settings but says\n${output.trim().split('\n').slice(-12).join('\n')}`);
  return [...message.matchAll(/(?:^|; )([A-Z][A-Z0-9_]*): /g)].map((match) => match[1] ?? '');
};
