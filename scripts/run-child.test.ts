import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const module = join(import.meta.dirname, 'run-child.mjs');
// As npm does it: a shell that a signal may end without a word to what runs below it.
const program = `process.on('SIGTERM', () => { console.log('child: stopped'); process.exit(0); }); setInterval(() => {}, 1000); console.log('child: ' + process.pid);`;
const runner = `
  const { runChild } = await import(${JSON.stringify(module)});
  console.log('runner: ' + process.pid);
  const { code, stopped } = await runChild(process.execPath, ['-e', ${JSON.stringify(program)}], { stdio: 'inherit' });
  console.log('ended: ' + code + ' ' + stopped);
`;
const npm = `
  const child = require('node:child_process').spawn(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(runner)}], { stdio: 'inherit', env: { ...process.env, npm_lifecycle_event: 'start' } });
  setInterval(() => {}, 1000);
`;

const start = async (): Promise<{ parent: ChildProcess; output: () => string; runner: number }> => {
  const parent = spawn(process.execPath, ['-e', npm], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  parent.stdout.on('data', (data: Buffer) => (text += data.toString()));
  await expect.poll(() => text, { timeout: 15_000 }).toMatch(/child: \d+/);
  return { parent, output: () => text, runner: Number(/runner: (\d+)/.exec(text)?.[1]) };
};

test('a signal reaches the program', async () => {
  const { parent, output, runner: pid } = await start();
  process.kill(pid, 'SIGTERM');
  await expect.poll(output, { timeout: 10_000 }).toMatch(/child: stopped\n[^]*ended: 0 true/);
  parent.kill('SIGKILL');
});

test('the program is stopped when npm is killed', async () => {
  const { parent, output } = await start();
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await expect.poll(output, { timeout: 10_000 }).toMatch(/child: stopped\n[^]*ended: 0 true/);
});
