/**
 * The small file a sync keeps on its machine: the epoch of its last run, so that each run fences those before it. Position and counts are in the
 * target, so losing this file loses nothing.
 */
import { randomInt } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { z } from 'zod';

const runState = z.object({
  version: z.literal(1),
  id: z.string(),
  /** What the id was for, for people and to notice a changed source. */
  from: z.string(),
  to: z.string(),
  epoch: z.number().int(),
  /** When this data was first asked for. */
  started_at: z.iso.datetime(),
  /** The process of the last run. */
  pid: z.number().int(),
});

export type RunState = z.infer<typeof runState>;

/**
 * Larger than `last` and than what any earlier run on any machine had, as long as clocks are about right: microseconds since 1970, the last three
 * digits by chance, so that two machines that start in the same millisecond do not share one. It needs no memory to grow, so a run after the state
 * was lost, or on another machine, takes over as any newer owner does: the older one is fenced at the target, and its rows stay as committed.
 */
export const nextEpoch = (last: number, now: number = Date.now()): number => Math.max(last + 1, now * 1000 + randomInt(1000));

export interface HeldState {
  /** Of the last run; null for the first. */
  readonly last: RunState | null;
  /** Written before the target is claimed, so that the epoch is used by no later run. */
  save(state: RunState): Promise<void>;
  release(): void;
}

const busy = 5;

/** An operating system's lock on a file of SQLite: gone with the process, however it ends. */
const lock = (file: string): DatabaseSync | 'held' => {
  const database = new DatabaseSync(file);
  try {
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === busy) return 'held';
    throw error;
  }
};

const readState = async (file: string): Promise<RunState | null> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = runState.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new TributaryError(
    'CONFIG_INVALID',
    `State file ${file} is not one that this version wrote. Remove it and run again: the position is in the target, so nothing is read twice.`,
  );
};

/** Readers see the old file or the new one, whole. */
const writeState = async (file: string, state: RunState): Promise<void> => {
  const temporary = `${file}.${process.pid}.tmp`;
  const handle = await open(temporary, 'w');
  try {
    await handle.writeFile(`${JSON.stringify(state, undefined, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
};

/** @throws CONFLICT when another run of the same sync holds it on this machine */
export const holdState = async (file: string): Promise<HeldState> => {
  const folder = path.dirname(file);
  let held: DatabaseSync | 'held';
  try {
    await mkdir(folder, { recursive: true });
    held = lock(`${file.replace(/\.json$/, '')}.lock`);
  } catch (error) {
    throw new TributaryError(
      'PERMISSION_MISSING',
      `The state of this sync cannot be kept in ${folder}: ${messageOf(error)}. Name another place with --state.`,
      {
        cause: error,
      },
    );
  }
  if (held === 'held') {
    const other = await readState(file).catch(() => null);
    throw new TributaryError(
      'CONFLICT',
      `This sync is running already${other === null ? '' : ` (process ${other.pid})`}. Wait for it or stop it; two at once would only take turns.`,
    );
  }
  const database = held;
  try {
    return { last: await readState(file), save: (state) => writeState(file, state), release: () => database.close() };
  } catch (error) {
    database.close();
    throw error;
  }
};

/**
 * The state of a run that begins now.
 * @throws CONFIG_INVALID when the id was made of the source's settings and these have changed: nobody but the user knows whether it is the same data
 */
export const beginRun = (
  last: RunState | null,
  wanted: { readonly id: string; readonly isGiven: boolean; readonly from: string; readonly to: string },
): RunState => {
  const { id, from, to } = wanted;
  if (last !== null && !wanted.isGiven && last.id !== id && last.from === from && last.to === to) {
    throw new TributaryError(
      'CONFIG_INVALID',
      `The settings of the source have changed since the last run. If it still reads the same data, add \`id: ${last.id}\` to the file: it goes on from where it stopped. ` +
        `If it is other data, add an id of your own, e.g. \`id: ${id}\`: it is read from its beginning.`,
    );
  }
  return {
    version: 1,
    id,
    from,
    to,
    epoch: nextEpoch(last?.epoch ?? 0),
    started_at: last?.id === id ? last.started_at : new Date().toISOString(),
    pid: process.pid,
  };
};
