/**
 * Where a slice stands: `<slice>/<slices>` → the index below which it made all of its rows, which are those with index % slices = slice.
 * After slices were laid out anew the parts of the old layout stay beside the new one, and what they cover is not made again.
 */
import type { Position } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';

interface Part {
  readonly slice: number;
  readonly slices: number;
  readonly next: number;
}

export const partName = (slice: number, slices: number): string => `${slice}/${slices}`;

const partsOf = (position: Position): Part[] =>
  Object.entries(position).map(([name, text]) => {
    const match = /^(\d+)\/(\d+)$/.exec(name);
    const next = Number(text);
    if (match === null || !Number.isSafeInteger(next) || next < 0)
      throw new TributaryError('POSITION_LOST', `The checkpoint is not one of generated rows: ${JSON.stringify(position).slice(0, 200)}.`);
    return { slice: Number(match[1]), slices: Number(match[2]), next };
  });

/** The lowest index from `from` on that is the slice's. */
export const align = (from: number, slice: number, slices: number): number => from + ((slice - (from % slices) + slices) % slices);

/** Where slice `slice` of `slices` goes on, and which of its indexes others made before. */
export const progressOf = (position: Position, slice: number, slices: number): { readonly next: number; readonly isMade: (index: number) => boolean } => {
  const parts = partsOf(position);
  const own = parts.find((part) => part.slice === slice && part.slices === slices);
  const others = parts.filter((part) => part.slices !== slices);
  const furthest = Math.max(0, ...others.map((part) => part.next));
  return {
    next: align(own?.next ?? 0, slice, slices),
    isMade: (index) => index < furthest && others.some((part) => index < part.next && index % part.slices === part.slice),
  };
};

/** Part by part. */
export const furthestParts = (positions: readonly Position[]): Position => {
  const furthest: Record<string, string> = {};
  for (const position of positions) for (const [name, next] of Object.entries(position)) if (Number(next) > Number(furthest[name] ?? -1)) furthest[name] = next;
  return furthest;
};
