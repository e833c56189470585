// The long form of the chart's tests: builds what is missing, then installs the chart into a real API server and takes it away again.
import { messageOf } from '@tributary/errors/error';
import { checkInstallation } from './installation.ts';
import { program } from './programs.ts';

const log = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  await program('helm', log);
  await checkInstallation(log);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
