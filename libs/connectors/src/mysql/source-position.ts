/**
 * Where the reading of a table stands. Rows come in the order of cursor and key, first those whose cursor is null.
 * I5: cursor and keys are the server's own text, so nothing is lost by rounding.
 */
import type { Position } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';

export interface TablePosition {
  /** Rows read so far: tells which of two positions is further. */
  readonly read: number;
  /** Rows without a cursor value are behind us, or there are none. */
  readonly nullsDone: boolean;
  /** The cursor of the last row; null before the first and in tables read by key alone. */
  readonly cursor: string | null;
  /** The key of the last row; null before the first. */
  readonly key: readonly string[] | null;
  /**
   * Keys of the rows read so far that have exactly this cursor: a row that turns up later with the same one is still taken. A key occurs
   * as often as it was read. null when there are too many: then rows behind `key` are taken only.
   */
  readonly sameCursor: readonly (readonly string[])[] | null;
}

export const longestSameCursor = 1_000;

export const beginning: TablePosition = { read: 0, nullsDone: false, cursor: null, key: null, sameCursor: [] };

export const writePosition = (position: TablePosition): Position => ({
  read: String(position.read),
  ...(position.nullsDone ? { nulls: 'done' } : {}),
  ...(position.cursor === null ? {} : { cursor: position.cursor }),
  ...(position.key === null ? {} : { key: JSON.stringify(position.key) }),
  ...(position.cursor === null || position.sameCursor === null ? {} : { same_cursor: JSON.stringify(position.sameCursor) }),
});

/** @throws POSITION_LOST when the position is of another kind of source. */
export const readPosition = (position: Position): TablePosition => {
  if (Object.keys(position).length === 0) return beginning;
  const { read, nulls, cursor, key, same_cursor: sameCursor } = position;
  try {
    return {
      read: Number(read ?? 0),
      nullsDone: nulls === 'done',
      cursor: cursor ?? null,
      key: key === undefined ? null : (JSON.parse(key) as string[]),
      sameCursor: sameCursor === undefined ? (cursor === undefined ? [] : null) : (JSON.parse(sameCursor) as string[][]),
    };
  } catch (error) {
    throw new TributaryError('POSITION_LOST', `The checkpoint is not one of a MySQL table: ${JSON.stringify(position).slice(0, 200)}.`, { cause: error });
  }
};

/** The position behind a row. `cursor` null: the row has no cursor value, or the table no cursor column. */
export const advance = (position: TablePosition, cursor: string | null, key: readonly string[]): TablePosition => {
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
