// One `npm start` at a time in a clone.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { TributaryError } from '@tributary/errors/error';
import { commandLineOf } from './process-table.ts';

/** Takes the lock `file`, or throws CONFLICT naming the process that has it and, from `runFile`, where it answers. */
export const takeStartLock = async (file: string, runFile: string): Promise<() => Promise<void>> => {
  const line = JSON.stringify({ pid: process.pid, command: await commandLineOf(process.pid) });
  for (;;) {
    try {
      await writeFile(file, line, { flag: 'wx' });
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = parse(await readFile(file, 'utf8').catch(() => ''));
    if (holder !== undefined && holder.pid !== process.pid && holder.command !== '' && (await commandLineOf(holder.pid)) === holder.command) {
      const gateway = await gatewayOf(runFile);
      throw new TributaryError(
        'CONFLICT',
        `Tributary already ${gateway === undefined ? 'starts' : `runs at ${gateway}`} from this clone (process ${holder.pid}). Stop it with Ctrl-C there, or with: kill ${holder.pid}`,
      );
    }
    // Its starter was killed.
    await rm(file, { force: true });
    await rm(runFile, { force: true });
  }
};

const parse = (text: string): { pid: number; command: string } | undefined => {
  try {
    const { pid, command } = JSON.parse(text) as Record<string, unknown>;
    return typeof pid === 'number' && typeof command === 'string' ? { pid, command } : undefined;
  } catch {
    return undefined;
  }
};

const gatewayOf = async (runFile: string): Promise<string | undefined> => {
  const text = await readFile(runFile, 'utf8').catch(() => '{}');
  return (JSON.parse(text) as { gateway?: string }).gateway;
};
