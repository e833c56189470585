/**
 * Where the reading of a collection stands. Everything of the server's is kept as canonical extended JSON, which is exact (I5).
 * The token is taken before the first document is read, so a change made during that read is told by the stream after it.
 */
import type { Position } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { exactText, fromExactText } from './from-bson.ts';

export interface CollectionPosition {
  /** Batches given so far: tells which of two positions is further. */
  readonly step: number;
  /** Documents are still to be read; else only changes are. */
  readonly isReading: boolean;
  /** `_id` of the last document read, as exact text; null before the first. */
  readonly after: string | null;
  /** Cluster time when the token was taken, as exact text: documents are read as of then or later. */
  readonly asOf: string | null;
  /** Resume token of the change stream, as exact text. */
  readonly token: string | null;
  /** Where there is no token yet: changes since this instant, in epoch milliseconds. */
  readonly since: number | null;
}

export const writePosition = (position: CollectionPosition): Position => ({
  step: String(position.step),
  documents: position.isReading ? 'reading' : 'done',
  ...(position.isReading && position.after !== null ? { after: position.after } : {}),
  ...(position.isReading && position.asOf !== null ? { as_of: position.asOf } : {}),
  ...(position.token === null ? {} : { token: position.token }),
  ...(position.since === null ? {} : { since: String(position.since) }),
});

/** @throws POSITION_LOST when the position is of another kind of source. */
export const readPosition = (position: Position): CollectionPosition => {
  const { step, documents, after, as_of: asOf, token, since } = position;
  try {
    if (step === undefined || (documents !== 'reading' && documents !== 'done')) throw new Error('step and documents are missing');
    for (const text of [after, asOf, token]) if (text !== undefined) fromExactText(text);
    return {
      step: Number(step),
      isReading: documents === 'reading',
      after: after ?? null,
      asOf: asOf ?? null,
      token: token ?? null,
      since: since === undefined ? null : Number(since),
    };
  } catch (error) {
    throw new TributaryError('POSITION_LOST', `The checkpoint is not one of a MongoDB collection: ${JSON.stringify(position).slice(0, 200)}.`, {
      cause: error,
    });
  }
};

/** `_id` is wrapped, since not every kind of it is a document by itself. */
export const textOfId = (id: unknown): string => exactText({ _id: id });
export const idOfText = (text: string): unknown => (fromExactText(text) as { readonly _id: unknown })._id;
