/** The tributary command: reads arguments and environment, runs one command, and ends with its exit code. */
import { asTributaryError, messageOf, type TributaryError } from '@tributary/errors/error';
import { readCommandLine, usage, type CommandLine } from './command-line.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { openTerminal } from './terminal.ts';

const terminal = openTerminal(process.stdout, process.stderr);
const stop = new AbortController();

/** A terminal sends Ctrl-C to the launcher too, which hands it on: two so close are one. */
const sameKeyMs = 400;
let stoppedAt: number | null = null;
const onStop = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void => {
  const now = performance.now();
  if (stoppedAt === null) {
    stoppedAt = now;
    terminal.say('Stopping: what is in hand is being committed. Once more ends it at once.');
    stop.abort(new Error(`Stopped by ${signal}.`));
  } else if (now - stoppedAt > sameKeyMs) {
    terminal.say('Ended at once. What was committed is kept.');
    process.exit(exitCodes.interrupted);
  }
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => onStop(signal));
process.on('disconnect', () => onStop('SIGHUP'));

/** Written for the API, where they would mislead here. */
const unfitHelp = new Set(['CONFLICT', 'FENCED', 'INTERNAL']);

const sayError = (error: TributaryError): void => {
  terminal.endProgress();
  terminal.say(`error: ${terminal.clean(error.message)}`);
  if (!unfitHelp.has(error.code) && !error.message.includes(error.help)) terminal.say(`  ${error.help}`);
};
const crash = (error: unknown): void => {
  terminal.say(`error: ${terminal.clean(messageOf(error))}`);
  terminal.say('  This was not expected. What was committed is kept; run the command again to go on from there.');
  process.exit(exitCodes.error);
};
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);

const run = async (line: CommandLine): Promise<ExitCode> => {
  const shared = { environment: process.env, terminal, stop: stop.signal };
  switch (line.command) {
    case 'help':
      terminal.out(usage);
      return exitCodes.ok;
    case 'version': {
      const { default: manifest } = (await import('../package.json', { with: { type: 'json' } })) as { default: { version: string } };
      terminal.out(manifest.version);
      return exitCodes.ok;
    }
    case 'wrong':
      terminal.say(`tributary: ${line.message}.\n\n${usage}`);
      return exitCodes.usage;
    case 'sync':
      return (await import('./sync.ts')).sync({ ...line, ...shared });
    case 'test':
      return (await import('./try-out.ts')).tryOut({ ...line, ...shared });
    case 'streams':
      return (await import('./try-out.ts')).listStreams({ ...line, ...shared });
    case 'describe':
      return (await import('./describe.ts')).describe(line.connector, terminal);
    case 'init':
      return (await import('./describe.ts')).init(line.source, line.target, line.file, terminal);
  }
};

let code: ExitCode;
try {
  code = await run(readCommandLine(process.argv.slice(2)));
} catch (error) {
  if (stop.signal.aborted) {
    terminal.say(`Stopped: ${terminal.clean(messageOf(error))}`);
    code = exitCodes.interrupted;
  } else {
    sayError(asTributaryError(error));
    code = exitCodes.error;
  }
}
process.exit(code);
