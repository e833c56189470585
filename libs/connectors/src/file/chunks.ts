/** The bytes of a file in bounded chunks, read only when asked for. */
import type { FileHandle } from 'node:fs/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';

export const compressions = ['none', 'gzip', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

export interface Chunks {
  /** The next chunk, or null at the end. The caller owns it. */
  read(): Promise<Buffer | null>;
  close(): Promise<void>;
}

export const chunkSize = 1024 * 1024;

/** The bytes `from <= i < to` of an open file, which stays open. */
export const plainChunks = (handle: FileHandle, from: number, to: number, size: number = chunkSize): Chunks => {
  let at = from;
  return {
    read: async () => {
      if (at >= to) return null;
      const buffer = Buffer.allocUnsafeSlow(Math.min(size, to - at));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      at += bytesRead;
      return bytesRead === 0 ? null : buffer.subarray(0, bytesRead);
    },
    close: async () => {},
  };
};

/** Inflates one frame beginning at `start`. What was inflated before damage or a sudden end is given first, then the error is thrown. */
const inflateFrame = (handle: FileHandle, start: number, size: number, compression: Exclude<Compression, 'none'>) => {
  // Destroying itself on an error, the stream would drop what it has inflated already.
  const options = { chunkSize: 256 * 1024, autoDestroy: false };
  const inflate = compression === 'gzip' ? createGunzip(options) : createZstdDecompress(options);
  let failure: Error | null = null;
  let ended = false;
  let wake = (): void => {};
  inflate.on('error', (error) => {
    failure ??= error;
    wake();
  });
  inflate.on('end', () => {
    ended = true;
    wake();
  });
  inflate.on('readable', () => wake());

  /** Each write is answered when its output fits into the stream's buffer, so at most one chunk is under way. */
  const feed = async (): Promise<void> => {
    const compressed = plainChunks(handle, start, size, 256 * 1024);
    for (let chunk = await compressed.read(); chunk !== null; chunk = await compressed.read()) {
      if (inflate.readableEnded || inflate.destroyed || failure !== null) return;
      const bytes = chunk;
      await new Promise<void>((resolve) => inflate.write(bytes, () => resolve()));
    }
    inflate.end();
  };
  feed().catch((error: unknown) => inflate.emit('error', error));

  return {
    read: async (): Promise<Buffer | null> => {
      for (;;) {
        const chunk = inflate.read() as Buffer | null;
        if (chunk !== null) return chunk;
        if (ended) return null;
        if (failure !== null) throw failure;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    /** Bytes of the frame, known once it has ended. */
    consumed: () => inflate.bytesWritten,
    close: () => inflate.destroy(),
  };
};

/**
 * The contents of an open compressed file up to `size`, one compressed frame after the other: files that grow by appending hold several.
 * Node's gunzip goes through all members by itself; its zstd stops after the first frame and says how many bytes that took.
 * Reads throw where the file is cut off or damaged.
 */
export const inflatedChunks = (handle: FileHandle, size: number, compression: Exclude<Compression, 'none'>): Chunks => {
  let frameAt = 0;
  let frame: ReturnType<typeof inflateFrame> | null = null;
  return {
    read: async () => {
      while (frameAt < size) {
        frame ??= inflateFrame(handle, frameAt, size, compression);
        const chunk = await frame.read();
        if (chunk !== null) return chunk;
        const consumed = frame.consumed();
        frameAt = compression === 'gzip' || consumed === 0 ? size : frameAt + consumed;
        frame.close();
        frame = null;
      }
      return null;
    },
    close: async () => {
      frame?.close();
    },
  };
};
