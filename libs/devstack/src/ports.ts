import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** Is this port free to listen on? Of the loopback interface, unless another address is given. */
export const isPortFree = (port: number, host = '127.0.0.1'): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });

/** A port that is free now. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))));
    });
  });

export interface PortRequest {
  readonly name: string;
  /** Tried first at the very first start. */
  readonly usual?: number;
  /** Users store connections that hold this port. */
  readonly stored?: boolean;
}

/**
 * A port for each request, kept in `ports.json` of the data folder and used again at the next start. One that another program
 * holds is replaced for this time only: stored connections hold these addresses.
 */
export const choosePorts = async (dataDir: string, requests: readonly PortRequest[], log: (line: string) => void): Promise<Record<string, number>> => {
  const file = join(dataDir, 'ports.json');
  const kept = await readPorts(file);
  const chosen: Record<string, number> = {};
  const other = async (): Promise<number> => {
    for (;;) {
      const port = await freePort();
      if (![...Object.values(kept), ...Object.values(chosen)].includes(port)) return port;
    }
  };
  for (const { name, usual, stored } of requests) {
    const preferred = kept[name];
    if (preferred !== undefined) {
      chosen[name] = (await isPortFree(preferred)) ? preferred : await other();
      if (chosen[name] !== preferred)
        log(
          `${name}: port ${preferred} is taken by another program, using ${chosen[name]} this time${stored ? '; connections stored with the old one must be changed' : ''}`,
        );
      continue;
    }
    const port = usual !== undefined && (await isPortFree(usual)) ? usual : await other();
    if (usual !== undefined && port !== usual) log(`${name}: port ${usual} is taken, using ${port}`);
    chosen[name] = port;
  }
  await mkdir(dataDir, { recursive: true });
  await writeFile(`${file}.new`, `${JSON.stringify({ ...chosen, ...kept }, undefined, 2)}\n`);
  await rename(`${file}.new`, file);
  return chosen;
};

const readPorts = async (file: string): Promise<Record<string, number>> => {
  const text = await readFile(file, 'utf8').catch(() => '{}');
  const parsed: unknown = JSON.parse(text);
  if (parsed === null || typeof parsed !== 'object') return {};
  return Object.fromEntries(Object.entries(parsed).filter((entry): entry is [string, number] => typeof entry[1] === 'number'));
};
