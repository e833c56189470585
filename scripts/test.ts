// `npm test [-- unit | int | e2e | <path> …]`: lint, layers and types, then the tests on real servers. Without words it runs
// everything. Its last line is `N passed, N failed`; a failed check counts as one failed.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const root = dirname(import.meta.dirname);
const bin = join(root, 'node_modules/.bin');
const folder = join(root, '.local/test');
const kinds = ['unit', 'int', 'e2e'];

interface Counts {
  passed: number;
  failed: number;
}

const environment = {
  ...process.env,
  // Programs of the packages first, Node among them: the machine's own may be too old for them.
  PATH: `${bin}:${process.env['PATH'] ?? ''}`,
  TURBO_TELEMETRY_DISABLED: '1',
  DO_NOT_TRACK: '1',
};

let current: ChildProcess | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));
process.on('disconnect', () => stop('SIGTERM'));

/** Ends the run with the child that is running; vitest stops its servers. */
const stop = (signal: NodeJS.Signals): void => {
  current?.once('exit', () => process.exit(1));
  if (current?.kill(signal) !== true) process.exit(1);
};

const run = (command: string, args: readonly string[]): Promise<boolean> =>
  new Promise((resolve) => {
    const child = spawn(join(bin, command), args, { cwd: root, env: environment, stdio: ['ignore', 'inherit', 'inherit'] });
    current = child;
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(false);
    });
    child.on('exit', (code) => resolve(code === 0));
  });

const check = async (name: string, command: string, args: readonly string[]): Promise<string | undefined> => {
  console.log(`\n== ${name}`);
  return (await run(command, args)) ? undefined : name;
};

const runChecks = async (): Promise<string[]> => {
  const failed = [
    await check('lint', 'oxlint', ['--type-aware', '--deny-warnings', '.']),
    await check('layers', 'depcruise', ['libs', 'services', 'test', 'scripts', '--config', '.dependency-cruiser.mjs']),
    await check('types', 'turbo', ['run', 'typecheck', '--continue', '--output-logs=errors-only', '--no-update-notifier', '--ui=stream']),
    await check('types of scripts', 'tsc', ['-p', 'scripts']),
  ];
  return failed.filter((name) => name !== undefined);
};

const runTests = async (words: readonly string[]): Promise<Counts> => {
  console.log('\n== tests');
  const report = join(folder, 'vitest.json');
  await rm(report, { force: true });
  const projects = words.filter((word) => kinds.includes(word)).map((kind) => `--project=${kind}`);
  const paths = words.filter((word) => !kinds.includes(word));
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const ended = await run('node', [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...projects, ...paths]);
  const counts = existsSync(report) ? countTests(JSON.parse(await readFile(report, 'utf8')) as VitestReport) : { passed: 0, failed: 0 };
  // An error outside of any test.
  if (!ended && counts.failed === 0) counts.failed = 1;
  return counts;
};

/** The part of vitest's JSON report that is read here (the format of Jest's). */
interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly { readonly status: string }[] }[];
}

const countTests = (report: VitestReport): Counts => {
  // A file that fails before its first test has no failed test to count.
  const broken = report.testResults.filter((file) => file.status === 'failed' && !file.assertionResults.some((each) => each.status === 'failed'));
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length };
};

/** Data of runs that were killed; a run that is going on keeps its own. */
const removeLeftovers = async (): Promise<void> => {
  const day = 24 * 60 * 60 * 1000;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory() || !entry.name.startsWith('servers-')) continue;
    const { mtimeMs } = await stat(join(folder, entry.name));
    if (Date.now() - mtimeMs > day) await rm(join(folder, entry.name), { recursive: true, force: true });
  }
};

const words = process.argv.slice(2);
await mkdir(folder, { recursive: true });
await removeLeftovers();
await rm(join(folder, 'summary'), { force: true });
const failedChecks = words.some((word) => !kinds.includes(word)) ? [] : await runChecks();
const tests = await runTests(words);
const failed = tests.failed + failedChecks.length;
await writeFile(join(folder, 'summary'), `${tests.passed} ${failed}\n`);
if (failedChecks.length > 0) console.log(`\nFailed checks: ${failedChecks.join(', ')}`);
console.log(`\n${tests.passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
