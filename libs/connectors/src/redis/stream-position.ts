/**
 * Positions in streams: key of the stream → `<id>` or `<id>@<count>`. The id is that of the last entry read; the count says how many entries
 * the stream had ever been given up to it (`entries-added` of XINFO STREAM), which proves later whether unread ones were trimmed.
 */
import type { Position } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';

export interface Place {
  /** `<milliseconds>-<sequence>`, both 64 bits wide. */
  readonly id: string;
  /** null: not known. */
  readonly count: number | null;
}

/** Before every entry: ids begin at 0-1. */
export const beginning: Place = { id: '0-0', count: null };

const largestSequence = '18446744073709551615';

export const compareIds = (one: string, other: string): number => {
  const [oneTime = '', oneSequence = ''] = one.split('-');
  const [otherTime = '', otherSequence = ''] = other.split('-');
  return compareDigits(oneTime, otherTime) || compareDigits(oneSequence, otherSequence);
};

/** Without leading zeros, so the longer is the larger. */
const compareDigits = (one: string, other: string): number => one.length - other.length || (one < other ? -1 : one > other ? 1 : 0);

/** Epoch milliseconds of the id, null where whoever made it counted something else. */
export const timeOf = (id: string): number | null => {
  const time = Number(id.slice(0, id.indexOf('-')));
  return time > 1e12 && time < 1e14 ? time : null;
};

/** The largest id before all that the server makes at `milliseconds` or later. */
export const idBefore = (milliseconds: number): string => (milliseconds < 1 ? beginning.id : `${milliseconds - 1}-${largestSequence}`);

export const writePlace = ({ id, count }: Place): string => (count === null ? id : `${id}@${count}`);

/** @throws CONFIG_INVALID when the text is none of ours. */
export const readPlace = (stream: string, text: string): Place => {
  const match = /^(\d+-\d+)(?:@(\d+))?$/.exec(text);
  if (match?.[1] === undefined) throw new TributaryError('CONFIG_INVALID', `The position of stream "${stream}" is no entry id: "${text}". Start a backfill.`);
  return { id: match[1], count: match[2] === undefined ? null : Number(match[2]) };
};

export const mergePositions = (positions: readonly Position[]): Position => {
  const furthest: Record<string, string> = {};
  for (const position of positions) {
    for (const [stream, text] of Object.entries(position)) {
      const known = furthest[stream];
      if (known === undefined || compareIds(readPlace(stream, text).id, readPlace(stream, known).id) > 0) furthest[stream] = text;
    }
  }
  return furthest;
};
