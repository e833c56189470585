#!/usr/bin/env node
// Starts src/main.ts on the Node of the lockfile. Plain JavaScript, because the machine's own Node may not run TypeScript.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageFolder = dirname(dirname(fileURLToPath(import.meta.url)));

const findNode = () => {
  for (let folder = packageFolder; ; folder = dirname(folder)) {
    const node = join(folder, 'node_modules/.bin/node');
    if (existsSync(node)) return { node, root: folder };
    if (dirname(folder) === folder) return null;
  }
};

const found = findNode();
if (found === null) {
  process.stderr.write('tributary: its packages are not installed. Run `npm ci` in the folder that holds package-lock.json, then try again.\n');
  process.exit(1);
}

const child = spawn(
  found.node,
  // Rows that wait for a commit outlive V8's small young generation, which costs a third of the CPU.
  ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=64', join(packageFolder, 'src/main.ts'), ...process.argv.slice(2)],
  {
    // The channel tells the child when this process is killed.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(found.root, 'node_modules/.cache/tributary') },
  },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`tributary: ${found.node} could not be started: ${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
