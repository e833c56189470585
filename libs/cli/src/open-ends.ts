/** Opens source and target of a sync file, as a worker does for a slot. */
import type { Slot } from '@tributary/contracts/ops';
import type { ConnectorLog, Source } from '@tributary/connector-sdk/source';
import type { Target } from '@tributary/connector-sdk/target';
import { compileMapper, type CompiledMapper } from '@tributary/engine/mapper/compile';
import { TributaryError } from '@tributary/errors/error';
import type { End, SyncFile } from './sync-file.ts';

export interface Ends {
  readonly source: Source;
  readonly target: Target;
  readonly mapper: CompiledMapper | null;
  close(): Promise<void>;
}

const sourceRole = ({ manifest }: End) => {
  if (manifest.source === undefined) throw new TributaryError('UNSUPPORTED', `"${manifest.name}" cannot be a source.`);
  return manifest.source;
};
const targetRole = ({ manifest }: End) => {
  if (manifest.target === undefined) throw new TributaryError('UNSUPPORTED', `"${manifest.name}" cannot be a target.`);
  return manifest.target;
};

/** With its driver. */
export const loadSource = (end: End) => sourceRole(end).load();
export const loadTarget = (end: End) => targetRole(end).load();
export const isContinuous = (end: End): boolean => sourceRole(end).capabilities.continuous;

export const mapperOf = (file: SyncFile): CompiledMapper | null =>
  file.mapper === null ? null : compileMapper(file.mapper, file.encryptionKey === null ? {} : { encryptionKey: file.encryptionKey });

const closeLimitMs = 3000;

/** A driver that hangs while closing must not keep the command. */
const closeWithin = async (what: { close(): Promise<void> }, log: ConnectorLog): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, closeLimitMs);
  });
  await Promise.race([what.close().catch((error: unknown) => log.debug('An end did not close cleanly.', { error })), limit]);
  clearTimeout(timer);
};

export const openEnds = async (options: {
  readonly file: SyncFile;
  readonly slot: Slot;
  readonly epoch: number;
  readonly startedAt: Date;
  readonly mode: 'once' | 'continuous';
  readonly log: ConnectorLog;
  /** Give up opening. It must not be aborted for a mere stop later, since the connectors keep it. */
  readonly signal: AbortSignal;
}): Promise<Ends> => {
  const { file, slot, log, signal } = options;
  const mapper = mapperOf(file);
  const [sourceConnector, targetConnector] = await Promise.all([loadSource(file.source), loadTarget(file.target)]);
  signal.throwIfAborted();
  const source = await sourceConnector.open(file.source.config, {
    log,
    signal,
    stream: file.stream,
    consumerId: slot.subscriptionId,
    slice: slot.slice,
    slices: slot.slices,
    mode: options.mode,
    backfill: file.backfill,
    startedAt: options.startedAt,
  });
  try {
    const schema = mapper === null ? await source.schema() : null;
    const target = await targetConnector.open(file.target.config, {
      log,
      signal,
      table: file.table,
      slot,
      epoch: options.epoch,
      columns: mapper?.columns ?? schema?.columns ?? null,
      primaryKey: mapper?.primaryKey ?? schema?.primaryKey ?? [],
      errorTable: file.errorTable,
    });
    return {
      source,
      target,
      mapper,
      close: async () => {
        await Promise.all([closeWithin(source, log), closeWithin(target, log)]);
      },
    };
  } catch (error) {
    await closeWithin(source, log);
    throw error;
  }
};
