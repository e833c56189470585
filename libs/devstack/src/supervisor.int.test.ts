import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from './ports.ts';
import { signalProcess, waitUntilGone } from './process-table.ts';
import { createSupervisor, type Supervisor } from './supervisor.ts';

const service = `
import { createServer } from 'node:http';
import { writeFileSync } from 'node:fs';
if (process.env.BROKEN === 'yes') { console.error('cannot start: the setting BROKEN is yes'); process.exit(3); }
createServer((request, response) => response.end(process.env.GREETING)).listen(Number(process.env.PORT), '127.0.0.1');
writeFileSync(process.env.PID_FILE, String(process.pid));
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
`;

let folder: string;
let main: string;
const lines: string[] = [];
const supervise = (): Supervisor =>
  createSupervisor({
    root: folder,
    logFolder: join(folder, 'logs'),
    pidFolder: join(folder, 'pids'),
    log: (line) => lines.push(line),
    signal: new AbortController().signal,
  });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-supervisor-'));
  main = join(folder, 'main.ts');
  await writeFile(main, service);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const runningPid = async (): Promise<number> => Number(await readFile(join(folder, 'pid'), 'utf8'));

test('starts a service again after it was killed, and ends it at stop', async () => {
  const supervisor = supervise();
  const port = await freePort();
  await supervisor.start({ name: 'greeter', main, port, environment: { GREETING: 'hello', PID_FILE: join(folder, 'pid') } });
  const first = await runningPid();
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('hello');
  signalProcess(first, 'SIGKILL');
  await expect.poll(() => lines.at(-1), { timeout: 15_000 }).toBe('greeter: runs again');
  const second = await runningPid();
  expect(second).not.toBe(first);
  expect(lines[0]).toContain(join(folder, 'logs/greeter.log'));
  await supervisor.stop();
  expect(await waitUntilGone([second], 100)).toBe(true);
});

test('a service that does not come up fails the start and names its log', async () => {
  const supervisor = supervise();
  const failing = supervisor.start({ name: 'broken', main, port: await freePort(), environment: { BROKEN: 'yes' } });
  await expect(failing).rejects.toThrow(/broken did not start: it ended with code 3.*broken\.log.*the setting BROKEN is yes/s);
  await supervisor.stop();
});
