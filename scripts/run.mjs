// Bootstrap: installs what the lockfile names when it is not there yet, then runs a TypeScript file on the Node of the lockfile.
// Plain JavaScript, because the machine's own Node may not run TypeScript.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runChild } from './run-child.mjs';

const startedAt = Math.round(performance.timeOrigin);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [script, ...args] = process.argv.slice(2);
const node = join(root, 'node_modules/.bin/node');

/** Does node_modules hold what the lockfile names? npm keeps its own record of what it installed, and writes it last. */
const isInstalled = () => {
  const record = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(node) || !existsSync(record)) return false;
  const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  const installed = packagesOf(record);
  // Optional ones are there for their own platform only.
  return Object.entries(packagesOf(join(root, 'package-lock.json'))).every(
    ([path, wanted]) =>
      !path.includes('node_modules/') ||
      wanted.optional ||
      wanted.devOptional ||
      wanted.peer ||
      (wanted.link ? installed[path] !== undefined : installed[path]?.version === wanted.version),
  );
};

if (!isInstalled()) {
  process.stderr.write('Installing packages from the lockfile (once, about half a minute) ...\n');
  const install = await runChild('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (install.stopped) process.exit(1);
  if (install.code !== 0) {
    process.stderr.write('npm ci failed; see above. Is the npm registry reachable?\n');
    process.exit(install.code);
  }
}

// When the command was given, for what measures how long it took.
const env = { ...process.env, TRIBUTARY_STARTED_AT: String(startedAt) };
// The channel tells the child when this process is killed.
const { code } = await runChild(node, ['--disable-warning=ExperimentalWarning', join(root, script), ...args], {
  cwd: root,
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  env,
});
process.exit(code);
