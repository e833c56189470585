/** Gets what a slot needs from the services and opens its two ends. */
import { getConnectionForWorker, getDataKey, getSlotSpec, type SlotSpec } from '@tributary/contracts/api/internal';
import type { Slot } from '@tributary/contracts/ops';
import { secretFields, type ConfigSchema } from '@tributary/connector-sdk/manifest';
import type { Source } from '@tributary/connector-sdk/source';
import type { Target } from '@tributary/connector-sdk/target';
import { manifestOf } from '@tributary/connectors/registry';
import { compileMapper, type CompiledMapper } from '@tributary/engine/mapper/compile';
import { TributaryError } from '@tributary/errors/error';
import type { ServiceClient } from '@tributary/http/service-client';
import type { SlotLog } from './logs.ts';
import { unknownPipeline } from './slot-reports.ts';

export interface Services {
  readonly pipelines: ServiceClient;
  readonly connectors: ServiceClient;
}

export interface OpenSlot {
  readonly spec: SlotSpec;
  readonly source: Source;
  readonly target: Target;
  readonly mapper: CompiledMapper | null;
  /** For people: `Apache Kafka demo-topic`. */
  readonly from: string;
  readonly to: string;
  readonly continuous: boolean;
  readonly log: SlotLog;
  close(): Promise<void>;
}

/** @throws what `isUnknownPipeline` knows when the pipelines service has no such pipeline or subscription. */
const fetchSpec = async (services: Services, slot: Slot): Promise<SlotSpec> => {
  try {
    return await services.pipelines.call(getSlotSpec, { params: { id: slot.pipelineId, subscription_id: slot.subscriptionId } });
  } catch (error) {
    throw error instanceof TributaryError && error.code === 'NOT_FOUND' ? unknownPipeline(error.message, error) : error;
  }
};

const fetchConnection = (services: Services, id: string, envId: string) =>
  services.connectors.call(getConnectionForWorker, { params: { id }, query: { env_id: envId } });

/** Texts of the config's secret fields. */
const secretTexts = (schema: ConfigSchema, config: Readonly<Record<string, unknown>>): string[] =>
  secretFields(schema).flatMap((name) => {
    const value = config[name];
    return typeof value === 'string'
      ? [value]
      : typeof value === 'object' && value !== null
        ? Object.values(value).filter((one) => typeof one === 'string')
        : [];
  });

/** Values are not in the message: they may be secrets. */
const parseConfig = (schema: ConfigSchema, config: unknown, what: string): Record<string, unknown> => {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  throw new TributaryError(
    'CONFIG_INVALID',
    `The configuration of ${what} is not valid: ${parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')}.`,
  );
};

const encryptionKey = async (services: Services, spec: SlotSpec): Promise<Buffer | undefined> => {
  if (!spec.mapper?.some((column) => column.encrypt_method != null)) return undefined;
  const { key } = await services.connectors.call(getDataKey, { params: { id: spec.env_id } });
  return Buffer.from(key, 'base64');
};

/** The stream that a config names by itself, as connectors call it. */
const namedStream = (config: Readonly<Record<string, unknown>>): string => {
  const name = config['topic'] ?? config['table'] ?? config['path'];
  return typeof name === 'string' ? name : '';
};

const closeLimitMs = 1500;

/** A driver that hangs while closing must not keep the slot. */
const closeWithin = async (close: () => Promise<void>, log: SlotLog, what: string): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      log.debug(`The ${what} took too long to close.`);
      resolve();
    }, closeLimitMs);
  });
  const closing = close().catch((error: unknown) =>
    log.debug(`The ${what} did not close cleanly.`, { reason: error instanceof Error ? error.message : String(error) }),
  );
  await Promise.race([closing, limit]);
  clearTimeout(timer);
};

/**
 * @throws what the services and connectors throw; nothing stays open then. `signal`: give up at once. It must not be aborted
 * for a mere stop once this has resolved, since the connectors keep it.
 */
export const openSlot = async (options: {
  readonly slot: Slot;
  readonly envId: string;
  readonly epoch: number;
  readonly services: Services;
  readonly log: SlotLog;
  readonly signal: AbortSignal;
}): Promise<OpenSlot> => {
  const { slot, services, log, signal } = options;
  const spec = await fetchSpec(services, slot);
  // I7: a slot never leaves the environment of its pipeline.
  if (spec.env_id !== options.envId) throw unknownPipeline(`Pipeline ${slot.pipelineId} is not in environment ${options.envId}.`);
  log.concerns({ pipelineName: spec.pipeline_name, connectionIds: [spec.source_connection_id, spec.target_connection_id] });
  const [from, to, dataKey] = await Promise.all([
    fetchConnection(services, spec.source_connection_id, spec.env_id),
    fetchConnection(services, spec.target_connection_id, spec.env_id),
    encryptionKey(services, spec),
  ]);
  const [fromManifest, toManifest] = await Promise.all([manifestOf(from.slug), manifestOf(to.slug)]);
  const sourceRole = fromManifest.source;
  const targetRole = toManifest.target;
  if (sourceRole === undefined) throw new TributaryError('UNSUPPORTED', `"${fromManifest.name}" cannot be a source.`);
  if (targetRole === undefined) throw new TributaryError('UNSUPPORTED', `"${toManifest.name}" cannot be a target.`);
  if (slot.slices > 1 && !sourceRole.capabilities.slices) {
    throw new TributaryError('UNSUPPORTED', `"${fromManifest.name}" cannot be read in ${slot.slices} slices at once; set the pipeline's parallelism to 1.`);
  }
  log.hide([...secretTexts(sourceRole.config, from.config), ...secretTexts(targetRole.config, to.config)]);

  const sourceConfig = parseConfig(sourceRole.config, from.config, 'the source');
  const targetConfig = parseConfig(targetRole.config, to.config, 'the target');
  const mapper = spec.mapper === null ? null : compileMapper(spec.mapper, dataKey === undefined ? {} : { encryptionKey: dataKey });
  const [sourceConnector, targetConnector] = await Promise.all([sourceRole.load(), targetRole.load()]);
  signal.throwIfAborted();

  const { continuous } = sourceRole.capabilities;
  const source = await sourceConnector.open(sourceConfig, {
    log,
    signal,
    stream: spec.stream,
    consumerId: spec.consumer_id,
    slice: slot.slice,
    slices: slot.slices,
    mode: continuous ? 'continuous' : 'once',
    backfill: spec.backfill,
    startedAt: new Date(spec.started_at),
    keyFields: mapper?.keyFields ?? null,
  });
  try {
    const schema = mapper === null ? await source.schema() : null;
    const target = await targetConnector.open(targetConfig, {
      log,
      signal,
      table: spec.target_table,
      slot,
      epoch: options.epoch,
      columns: mapper?.columns ?? schema?.columns ?? null,
      primaryKey: mapper?.primaryKey ?? schema?.primaryKey ?? [],
      errorTable: spec.error_table,
    });
    return {
      spec,
      source,
      target,
      mapper,
      from: `${fromManifest.name} ${spec.stream ?? namedStream(sourceConfig)}`.trim(),
      to: `${toManifest.name} ${spec.target_table}`,
      continuous,
      log,
      close: async () => {
        await Promise.all([closeWithin(() => source.close(), log, 'source'), closeWithin(() => target.close(), log, 'target')]);
      },
    };
  } catch (error) {
    await closeWithin(() => source.close(), log, 'source');
    throw error;
  }
};
