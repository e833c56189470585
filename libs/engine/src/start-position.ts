/** Claims the slot and finds where it goes on. */
import { noCounts, type Checkpoint, type Position } from '@tributary/contracts/ops';
import type { Source } from '@tributary/connector-sdk/source';
import type { Target } from '@tributary/connector-sdk/target';

const noRows = { kind: 'rows', rows: [], ops: null, originOf: () => ({}) } as const;

/**
 * - A slot with a checkpoint goes on from it, or from the furthest of it and the others', part by part: after slices were
 *   laid out anew and back again, others may have read its parts further.
 * - A slot without one takes over from the others. Its first position fills in the parts that none of them names, if none
 *   of its own parts is among theirs: then they are siblings that began before it. Else the slices were laid out anew, and a
 *   part that nobody has read is new, to be read from its beginning.
 * - Where a slot had no checkpoint, its position is committed before anything is read, so that a crash cannot move it.
 */
export const startPosition = async (source: Source, target: Target, signal: AbortSignal): Promise<Checkpoint> => {
  const { own, others } = await target.claim();
  signal.throwIfAborted();
  const known = [...(own === null ? [] : [own]), ...others].map(({ position }) => position);
  const [first, ...rest] = known;
  const furthest: Position = first === undefined ? {} : rest.length === 0 ? first : source.mergePositions(known);
  if (own !== null) return { position: furthest, counts: own.counts };

  const beginning = await source.firstPosition();
  signal.throwIfAborted();
  const takenOver = Object.keys(beginning).some((part) => Object.hasOwn(furthest, part));
  const position = takenOver ? furthest : { ...beginning, ...furthest };
  const { checkpoint } = await target.deliver({ data: noRows, rejected: [], checkpoint: { position, counts: noCounts } });
  return checkpoint;
};
