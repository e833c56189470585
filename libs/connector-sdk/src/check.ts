/** Runs the steps of a connection test one after the other, timed; the first failure ends it. */
import { asTributaryError } from '@tributary/errors/error';
import type { CheckStep } from './source.ts';

/** `run` gives the sentence to show when it worked. */
export const runChecks = async (steps: readonly { readonly name: string; readonly run: () => Promise<string> }[]): Promise<CheckStep[]> => {
  const done: CheckStep[] = [];
  for (const step of steps) {
    const started = performance.now();
    try {
      const message = await step.run();
      done.push({ name: step.name, ok: true, message, milliseconds: Math.round(performance.now() - started) });
    } catch (error) {
      const known = asTributaryError(error);
      done.push({ name: step.name, ok: false, message: `${known.message} ${known.help}`, milliseconds: Math.round(performance.now() - started) });
      break;
    }
  }
  return done;
};
