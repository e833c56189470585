/**
 * Where the reading of a table by keyset stands. Rows come in the order of cursor and key, first those whose cursor is null.
 * I5: cursor and key are texts that keep the source's exact values.
 */
import type { Position } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';

export interface KeysetPosition {
  /** Rows read so far: tells which of two positions is further. */
  readonly read: number;
  /** Rows without a cursor value are behind us, or there are none. */
  readonly nullsDone: boolean;
  /** The cursor of the last row; null before the first and in tables read by key alone. */
  readonly cursor: string | null;
  /** The key of the last row; null before the first. */
  readonly key: readonly string[] | null;
  /**
   * Keys of the rows read so far that have exactly this cursor: a row that turns up later with the same one is still taken.
   * null when there are too many: then rows behind `key` are taken only.
   */
  readonly sameCursor: readonly (readonly string[])[] | null;
}

export const longestSameCursor = 1_000;

export const keysetBeginning: KeysetPosition = { read: 0, nullsDone: false, cursor: null, key: null, sameCursor: [] };

export const writeKeysetPosition = (position: KeysetPosition): Position => ({
  read: String(position.read),
  ...(position.nullsDone ? { nulls: 'done' } : {}),
  ...(position.cursor === null ? {} : { cursor: position.cursor }),
  ...(position.key === null ? {} : { key: JSON.stringify(position.key) }),
  ...(position.cursor === null || position.sameCursor === null ? {} : { same_cursor: JSON.stringify(position.sameCursor) }),
});

/** `what` is for the message: `an SQLite table`. @throws POSITION_LOST when the position is of another kind of source. */
export const readKeysetPosition = (position: Position, what: string): KeysetPosition => {
  if (Object.keys(position).length === 0) return keysetBeginning;
  const { read, nulls, cursor, key, same_cursor: sameCursor } = position;
  const lost = (cause?: unknown): TributaryError =>
    new TributaryError('POSITION_LOST', `The checkpoint is not one of ${what}: ${JSON.stringify(position).slice(0, 200)}.`, { cause });
  if (read === undefined || !/^\d+$/.test(read)) throw lost();
  try {
    return {
      read: Number(read),
      nullsDone: nulls === 'done',
      cursor: cursor ?? null,
      key: key === undefined ? null : (JSON.parse(key) as string[]),
      sameCursor: sameCursor === undefined ? (cursor === undefined ? [] : null) : (JSON.parse(sameCursor) as string[][]),
    };
  } catch (error) {
    throw lost(error);
  }
};

/** Of positions of one reader, since tables read by keyset have no slices: the one with the most rows read. */
export const furthestKeyset = (positions: readonly Position[]): Position =>
  positions.reduce((furthest: Position, position) => (Number(position['read'] ?? 0) >= Number(furthest['read'] ?? 0) ? position : furthest), {});

/** The position behind a row. `cursor` null: the row has no cursor value, or the table no cursor column. */
export const advance = (position: KeysetPosition, cursor: string | null, key: readonly string[]): KeysetPosition => {
  const read = position.read + 1;
  const { nullsDone } = position;
  if (cursor === null) return { read, nullsDone, cursor: null, key, sameCursor: [] };
  if (cursor !== position.cursor) return { read, nullsDone, cursor, key, sameCursor: [key] };
  const same = position.sameCursor;
  // Grown in place: the list is this reader's own, and copying it for every row would be quadratic.
  if (same !== null && same.length < longestSameCursor) {
    (same as (readonly string[])[]).push(key);
    return { read, nullsDone, cursor, key, sameCursor: same };
  }
  return { read, nullsDone, cursor, key, sameCursor: null };
};
