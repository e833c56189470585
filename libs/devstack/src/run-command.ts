import { spawn } from 'node:child_process';
import { TributaryError } from '@tributary/errors/error';

interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  /** Written to the standard input. */
  readonly input?: string;
  /** What the command is for, at the start of the error message: 'PostgreSQL: creating the cluster'. */
  readonly purpose: string;
}

/** Runs a command to its end and answers its standard output. Throws SERVER_MISSING with the end of its output when it fails. */
export const runCommand = async (command: string, args: readonly string[], options: CommandOptions): Promise<string> => {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: options.cwd,
    env: options.env ?? process.env,
    uid: options.uid,
    gid: options.gid,
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  const outcome = await new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : `it ended with ${signal ?? `code ${code}`}`));
  });
  if (outcome !== undefined) {
    const tail = `${output}${errors}`.trim().split('\n').slice(-12).join('\n');
    throw new TributaryError('SERVER_MISSING', `${options.purpose} failed: ${command} ${outcome}${tail ? `\n${tail}` : ''}`);
  }
  return output;
};
