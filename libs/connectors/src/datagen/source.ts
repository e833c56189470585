import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import { runChecks } from '@tributary/connector-sdk/check';
import type { OpenSourceContext, Reader, ReadOptions, Source, SourceConnector } from '@tributary/connector-sdk/source';
import type { Position, RowBatch } from '@tributary/contracts/ops';
import type { Row, StreamSchema } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { DatagenConfig } from './config.ts';
import { generatorOf, type Generator } from './generate.ts';
import { align, furthestParts, partName, progressOf } from './position.ts';

const idleAfter = 1_000;
/** Milliseconds of rows that a batch gathers at least where a rate is asked for. */
const gatherFor = 50;

const streamOf = (config: DatagenConfig, stream: string | null): string => {
  if (stream !== null && stream !== config.stream)
    throw new TributaryError('STREAM_NOT_FOUND', `There is no stream "${stream}"; the generator has one, "${config.stream}".`);
  return config.stream;
};

const schemaOf = (config: DatagenConfig, { columns, primaryKey }: Generator): StreamSchema => ({ stream: config.stream, columns, primaryKey });

const readerOf = (config: DatagenConfig, generator: Generator, context: OpenSourceContext, from: Position, options: ReadOptions): Reader => {
  const { slice, slices, mode } = context;
  const rows = config.rows ?? Number.POSITIVE_INFINITY;
  const rate = config.rows_per_second;
  const most = Math.max(1, Math.min(options.maxRows, Math.floor(options.maxBytes / generator.rowBytes)));
  const { next: first, isMade } = progressOf(from, slice, slices);
  let next = first;
  let startedAt: number | null = null;
  let isFirst = true;

  /** The index below which rows may be given by now. */
  const dueNow = (): number => {
    if (rate === null) return rows;
    startedAt ??= performance.now();
    return Math.min(rows, first + Math.floor(((performance.now() - startedAt) * rate) / 1000) + 1);
  };

  const batchUpTo = (end: number): RowBatch | null => {
    const made: Row[] = [];
    const indexes: number[] = [];
    let index = next;
    for (; index < end && made.length < most; index += slices) {
      if (isMade(index)) continue;
      made.push(generator.rowAt(index));
      indexes.push(index);
    }
    next = index;
    if (made.length === 0) return null;
    const batch: RowBatch = {
      kind: 'rows',
      rows: made,
      originOf: (at) => ({ stream: config.stream, index: indexes[at] ?? 0 }),
      unreadable: [],
      position: { ...from, [partName(slice, slices)]: String(next) },
      bytes: made.length * generator.rowBytes,
      newestAt: Date.now(),
      ...(isFirst ? { schema: schemaOf(config, generator) } : {}),
    };
    isFirst = false;
    return batch;
  };

  return {
    next: async (signal) => {
      const until = performance.now() + idleAfter;
      for (;;) {
        // Making rows waits for nothing, so a quick consumer would keep timers and sockets from their turn.
        await nextTurn();
        signal.throwIfAborted();
        const batch = batchUpTo(dueNow());
        if (batch !== null) return batch;
        if (next >= rows && mode === 'once') return 'end';
        if (performance.now() >= until) return 'idle';
        const rest = until - performance.now();
        const untilDue = next >= rows || rate === null ? rest : Math.max(gatherFor, ((next - first) * 1000) / rate - (performance.now() - (startedAt ?? 0)));
        // An abort is thrown at the next turn, with its own reason.
        await wait(Math.max(1, Math.min(rest, untilDue)), undefined, { signal }).catch(() => {});
      }
    },
  };
};

const openSource = async (config: DatagenConfig, context: OpenSourceContext): Promise<Source> => {
  streamOf(config, context.stream);
  const generator = generatorOf(config);
  if (config.rows === null && context.mode === 'once')
    throw new TributaryError('CONFIG_INVALID', 'rows: an endless stream cannot be read once to its end; say how many rows there are.');
  const { slice, slices } = context;
  return {
    formats: [],
    schema: () => Promise.resolve(schemaOf(config, generator)),
    // Also without a backfill: the rows are made for the one who reads them, so none is older than the subscription.
    firstPosition: () => Promise.resolve({ [partName(slice, slices)]: '0' }),
    mergePositions: furthestParts,
    read: (from, options) => {
      if (options.format !== 'rows') throw new TributaryError('UNSUPPORTED', `The generator gives rows only, not ${options.format}.`);
      return readerOf(config, generator, context, from, options);
    },
    lag: (position) => {
      if (config.rows === null) return Promise.resolve(null);
      const { next } = progressOf(position, slice, slices);
      return Promise.resolve(Math.max(0, Math.ceil((config.rows - next) / slices)));
    },
    close: () => Promise.resolve(),
  };
};

export const datagenSource: SourceConnector<DatagenConfig> = {
  check: (config) =>
    runChecks([
      {
        name: 'Columns',
        run: async () => {
          const { columns, rowBytes } = generatorOf(config);
          return `${columns.length} columns, about ${rowBytes} bytes a row.`;
        },
      },
    ]),
  streams: async (config) => [{ name: config.stream, schema: schemaOf(config, generatorOf(config)) }],
  sample: async (config, context) => {
    streamOf(config, context.stream);
    const { rowAt } = generatorOf(config);
    const count = Math.min(context.limit, config.rows ?? context.limit);
    const first = config.rows === null ? 0 : align(config.rows - count, 0, 1);
    return Array.from({ length: count }, (_, index) => rowAt(first + index));
  },
  open: openSource,
};
