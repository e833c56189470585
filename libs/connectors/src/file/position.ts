/**
 * The source's position: relative path → what was read of that file, as text that people can read:
 * `<read> of=<bytes> sha=<hash> gen=<n> [done]`.
 * - `read`: bytes up to the end of the last whole record; of a compressed file its records, headers and bad ones included.
 * - `of`: the length of the file's beginning that `sha` vouches for. `sha`: a hash of its first and last KB; when it differs, the file was replaced.
 * - `gen`: how often the file under this path was replaced; a later generation is always further.
 * - `done`: a compressed file was read to its end when it was `of` bytes long.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Position } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';

export interface Progress {
  readonly read: number;
  readonly of: number;
  readonly sha: string;
  readonly generation: number;
  readonly done: boolean;
}

export const untouched = (generation: number): Progress => ({ read: 0, of: 0, sha: '', generation, done: false });

export const progressText = (progress: Progress): string =>
  `${progress.read} of=${progress.of} sha=${progress.sha} gen=${progress.generation}${progress.done ? ' done' : ''}`;

const pattern = /^(\d+) of=(\d+) sha=([0-9a-f]*) gen=(\d+)( done)?$/;

export const parseProgress = (path: string, text: string): Progress => {
  const match = pattern.exec(text);
  if (match === null) throw new TributaryError('POSITION_LOST', `The checkpoint of file "${path}" is not one of this source: "${text}".`);
  return { read: Number(match[1]), of: Number(match[2]), sha: match[3] ?? '', generation: Number(match[4]), done: match[5] !== undefined };
};

const isFurther = (a: Progress, b: Progress): boolean =>
  a.generation !== b.generation ? a.generation > b.generation : a.read !== b.read ? a.read > b.read : a.of > b.of;

/** For each file what got furthest. */
export const mergePositions = (positions: readonly Position[]): Position => {
  const merged: Record<string, string> = {};
  for (const position of positions)
    for (const [path, text] of Object.entries(position)) {
      const known = merged[path];
      if (known === undefined || isFurther(parseProgress(path, text), parseProgress(path, known))) merged[path] = text;
    }
  return merged;
};

const window = 1024;

/** Hash of the first and the last KB of the file's first `length` bytes; both are needed since files often begin with the same header. */
export const fingerprint = async (handle: FileHandle, length: number): Promise<string> => {
  const hash = createHash('sha256');
  const size = Math.min(window, length);
  const bytes = Buffer.alloc(size);
  for (const at of [0, length - size]) {
    const { bytesRead } = await handle.read(bytes, 0, size, at);
    hash.update(bytes.subarray(0, bytesRead));
  }
  return length === 0 ? '' : hash.digest('hex').slice(0, 16);
};
