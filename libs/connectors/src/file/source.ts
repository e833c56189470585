import { open, stat, type FileHandle } from 'node:fs/promises';
import { runChecks } from '@tributary/connector-sdk/check';
import { confine, fileRoot } from '@tributary/connector-sdk/file-root';
import type { CallContext, OpenSourceContext, Reader, ReadOptions, Source, SourceConnector, StreamInfo } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import type { Row, StreamSchema } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { isGlob, listFiles } from './list-files.ts';
import { layoutOf } from './file-format.ts';
import { openRecords } from './file-records.ts';
import type { FileSourceConfig } from './config.ts';
import { fingerprint, mergePositions, parseProgress, progressText, untouched, type Progress } from './position.ts';
import { createReader } from './reader.ts';
import { sliceOf } from './slices.ts';
import { unitOf } from './text.ts';

const missing = (pattern: string): TributaryError =>
  new TributaryError(
    'STREAM_NOT_FOUND',
    isGlob(pattern) ? `No file matches "${pattern}" in the folder for files.` : `File "${pattern}" does not exist in the folder for files.`,
  );

const filesOf = async (root: string, pattern: string): Promise<string[]> => {
  const files = await listFiles(root, pattern);
  if (files.length === 0) throw missing(pattern);
  return files;
};

/** What the file's own first line tells; the types are undeclared, since CSV has none. */
const schemaOf = async (root: string, stream: string, path: string, config: FileSourceConfig): Promise<StreamSchema> => {
  const layout = layoutOf(path, config);
  if (layout.format === 'jsonl') return { stream, columns: null, primaryKey: [] };
  const records = await openRecords({ absolute: await confine(root, path), path, layout, from: untouched(0), final: true });
  const columns = records?.columns?.map((name) => ({ name, type: null, nullable: true })) ?? null;
  await records?.close();
  return { stream, columns, primaryKey: [] };
};

/** Offset after the last newline of a plain file; 0 when it has none. */
const lastNewline = async (handle: FileHandle, unit: 1 | 2): Promise<number> => {
  const { size } = await handle.stat();
  const block = Buffer.alloc(64 * 1024);
  for (let end = size - (size % unit); end > 0; end -= Math.min(block.length, end)) {
    const start = Math.max(0, end - block.length);
    await handle.read(block, 0, end - start, start);
    for (let at = end - start - unit; at >= 0; at -= unit) if (block[at] === 0x0a && (unit === 1 || block[at + 1] === 0)) return start + at + unit;
  }
  return 0;
};

/** How far a file is read once all the whole lines it holds now are passed over. */
const endOf = async (root: string, path: string, config: FileSourceConfig): Promise<Progress> => {
  const layout = layoutOf(path, config);
  const absolute = await confine(root, path);
  if (layout.compression === 'none') {
    const handle = await open(absolute, 'r');
    try {
      const read = await lastNewline(handle, unitOf(layout.encoding));
      return { ...untouched(0), read, of: read, sha: await fingerprint(handle, read) };
    } finally {
      await handle.close();
    }
  }
  const records = await openRecords({ absolute, path, layout, from: untouched(0), final: true });
  let progress = untouched(0);
  try {
    for (let taken = await records?.take(100_000, 1 << 20); taken != null; taken = await records?.take(100_000, 1 << 20)) progress = taken.progress;
  } finally {
    await records?.close();
  }
  return progress;
};

const openSource = async (config: FileSourceConfig, context: OpenSourceContext): Promise<Source> => {
  const root = await fileRoot();
  const pattern = context.stream ?? config.path;
  await confine(root, pattern);
  let closeReader: (reason: Error) => Promise<void> = async () => {};
  return {
    formats: [],
    schema: async () => {
      const first = (await listFiles(root, pattern))[0];
      return first === undefined ? null : schemaOf(root, pattern, first, config);
    },
    firstPosition: async () => {
      const position: Record<string, string> = {};
      if (context.backfill) return position;
      for (const path of await listFiles(root, pattern))
        if (sliceOf(path, context.slices) === context.slice) position[path] = progressText(await endOf(root, path, config));
      return position;
    },
    mergePositions,
    read: (from: Position, options: ReadOptions): Reader => {
      if (options.format !== 'rows') throw new TributaryError('UNSUPPORTED', `The file source hands on rows, not ${options.format}.`);
      const closing = new AbortController();
      const reader = createReader(root, pattern, config, from, options, context);
      closeReader = async (reason) => {
        closing.abort(reason);
        await reader.close();
      };
      return { next: (signal) => reader.next(AbortSignal.any([signal, context.signal, closing.signal])) };
    },
    lag: async (position) => {
      // Bytes tell no number of records; only "nothing left" is certain.
      for (const path of await listFiles(root, pattern)) {
        if (sliceOf(path, context.slices) !== context.slice) continue;
        const text = position[path];
        if (text === undefined) return null;
        const { read, of, done } = parseProgress(path, text);
        const { size } = await stat(await confine(root, path));
        if (layoutOf(path, config).compression === 'none' ? size !== read : !done || size !== of) return null;
      }
      return 0;
    },
    close: () => closeReader(new TributaryError('SOURCE_FAILED', 'The file source was closed.')),
  };
};

/** Bytes read of one file for a preview. */
const sampleBytes = 1024 * 1024;

/** The last rows of a plain file, the first ones of a compressed file. */
const sampleFile = async (root: string, path: string, config: FileSourceConfig, limit: number): Promise<Row[]> => {
  const layout = layoutOf(path, config);
  const absolute = await confine(root, path);
  const { size } = await stat(absolute);
  const start = layout.compression === 'none' && size > sampleBytes ? size - sampleBytes - ((size - sampleBytes) % 2) : 0;
  const records = await openRecords({ absolute, path, layout, from: { ...untouched(0), read: start }, final: true });
  const rows: Row[] = [];
  try {
    for (let bytes = 0; bytes < sampleBytes;) {
      const taken = await records?.take(limit + 1, sampleBytes);
      if (taken == null) break;
      bytes += taken.bytes;
      // Reading began inside a line: what is left of it is no row.
      if (start > 0 && taken.rows.length > 0 && taken.originOf(0).offset === String(start)) taken.rows.shift();
      rows.push(...taken.rows);
      rows.splice(0, rows.length - limit);
    }
  } finally {
    await records?.close();
  }
  return rows.reverse();
};

const sample = async (config: FileSourceConfig, context: CallContext & { readonly stream: string | null; readonly limit: number }): Promise<Row[]> => {
  const root = await fileRoot();
  const changed: { readonly path: string; readonly at: number }[] = [];
  for (const path of await filesOf(root, context.stream ?? config.path)) changed.push({ path, at: (await stat(await confine(root, path))).mtimeMs });
  changed.sort((a, b) => b.at - a.at);
  const rows: Row[] = [];
  for (const { path } of changed) {
    context.signal.throwIfAborted();
    if (rows.length >= context.limit) break;
    rows.push(...(await sampleFile(root, path, config, context.limit - rows.length)));
  }
  return rows;
};

export const fileSource: SourceConnector<FileSourceConfig> = {
  check: async (config, context) => {
    let root = '';
    let files: string[] = [];
    return runChecks([
      {
        name: 'Folder',
        run: async () => {
          root = await fileRoot();
          await confine(root, config.path);
          return 'The path is inside the folder for files.';
        },
      },
      {
        name: 'Files',
        run: async () => {
          files = await filesOf(root, config.path);
          return `${files.length} ${files.length === 1 ? 'file' : 'files'} found.`;
        },
      },
      {
        name: 'Read',
        run: async () => {
          const rows = await sample(config, { ...context, stream: files[0] ?? null, limit: 1 });
          return rows.length > 0 ? `A row of "${files[0]}" was read.` : `"${files[0]}" holds no readable row yet.`;
        },
      },
    ]);
  },
  streams: async (config) => {
    const root = await fileRoot();
    const files = await filesOf(root, config.path);
    const streams: StreamInfo[] = [];
    if (isGlob(config.path) && files[0] !== undefined) streams.push({ name: config.path, schema: await schemaOf(root, config.path, files[0], config) });
    for (const path of files.slice(0, 1000)) streams.push({ name: path, schema: await schemaOf(root, path, path, config) });
    return streams;
  },
  sample,
  open: openSource,
};
