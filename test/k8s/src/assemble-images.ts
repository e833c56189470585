// The long form of the image tests: installs the packages of each image as its Dockerfile does, and starts its service there without a
// single setting. A service that is all there gets as far as naming the settings it misses.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '@tributary/errors/error';
import { assemble, copyContext, prune, readTargets } from './images.ts';
import { missingSettings } from './settings.ts';

const log = (line: string): void => void process.stdout.write(`${line}\n`);
const context = await mkdtemp(join(tmpdir(), 'tributary-images-'));
process.exitCode = 0;
try {
  await copyContext(context);
  for (const target of readTargets()) {
    const started = Date.now();
    try {
      const app = join(context, 'apps', target.service);
      await assemble(await prune(context, target), app);
      const names = await missingSettings(join(app, target.main));
      log(
        `${target.service}: installed in ${((Date.now() - started) / 1000).toFixed(1)} s, ${await sizeOf(app)}; started as far as asking for ${names.join(', ')}`,
      );
    } catch (error) {
      log(`${target.service}: ${messageOf(error)}`);
      process.exitCode = 1;
    }
  }
} finally {
  await rm(context, { recursive: true, force: true });
}

async function sizeOf(folder: string): Promise<string> {
  const child = spawn('du', ['-sh', folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const part of child.stdout.setEncoding('utf8')) output += String(part);
  return output.split('\t')[0] ?? '';
}
