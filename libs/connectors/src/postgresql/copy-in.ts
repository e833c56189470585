import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import type { Session } from './connect.ts';
import { requireWellFormed } from './copy-text.ts';

/** Characters gathered for one CopyData message: large enough that messages cost nothing, small enough that server and encoder work side by side. */
const chunkLength = 128 * 1024;

function* chunksOf(lines: Iterable<string>): Generator<Buffer> {
  let chunk = '';
  for (const line of lines) {
    chunk += line;
    if (chunk.length >= chunkLength) {
      yield Buffer.from(requireWellFormed(chunk));
      chunk = '';
    }
  }
  if (chunk !== '') yield Buffer.from(requireWellFormed(chunk));
}

/** Runs a `COPY … FROM STDIN` with these lines. What `lines` throws is thrown, after the COPY was called off. */
export const copyIn = async (session: Session, statement: string, lines: Iterable<string>): Promise<void> => {
  await pipeline(Readable.from(chunksOf(lines), { highWaterMark: 2 }), session.client.query(copyFrom(statement, { highWaterMark: 4 * chunkLength })));
};
