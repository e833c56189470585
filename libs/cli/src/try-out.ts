/** `tributary test` and `tributary streams`: what a file would reach, without moving anything. */
import path from 'node:path';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { connectorSettings } from '@tributary/connector-sdk/settings';
import type { CallContext, CheckStep } from '@tributary/connector-sdk/source';
import type { Row, StreamSchema } from '@tributary/contracts/types';
import type { CompiledMapper } from '@tributary/engine/mapper/compile';
import type { Environment } from './environment-values.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { loadSource, loadTarget, mapperOf } from './open-ends.ts';
import { count } from './run-report.ts';
import { streamName } from './subscription-id.ts';
import { logTo } from './sync.ts';
import { readSourceFile, readSyncFile } from './sync-file.ts';
import { tableText, type Terminal } from './terminal.ts';

export interface TryOptions {
  readonly file: string;
  readonly root: string | null;
  readonly verbose: boolean;
  readonly environment: Environment;
  readonly terminal: Terminal;
  readonly stop: AbortSignal;
}

const sampleRows = 3;
const longestRow = 2000;
const limitMs = 60_000;

const contextOf = (options: TryOptions): CallContext => ({
  log: logTo(options.terminal, options.verbose),
  signal: AbortSignal.any([options.stop, AbortSignal.timeout(limitMs)]),
});

const stepsText = (steps: readonly CheckStep[]): string =>
  tableText(steps.map(({ name, ok, message, milliseconds }) => [ok ? '  ok' : '  FAILED', name, `${message} (${milliseconds} ms)`]));

const rowText = (row: Row): string => {
  const text = stringifyExact(row);
  return text.length > longestRow ? `${text.slice(0, longestRow)}…` : text;
};

const afterText = (mapper: CompiledMapper, row: Row): string[] => {
  const out: Row[] = [];
  if (!mapper.map(row, 'upsert', out)) return [`  rejected: ${mapper.rejection().reason}`];
  return out.length === 0 ? ['  no row: an array that the mapper spreads is empty'] : out.map((mapped) => `  after   ${rowText(mapped)}`);
};

export const tryOut = async (options: TryOptions): Promise<ExitCode> => {
  const { terminal } = options;
  const file = await readSyncFile(options.file, options.environment);
  terminal.hide(file.hidden);
  connectorSettings.fileRoot = path.resolve(options.root ?? file.folder);
  const mapper = mapperOf(file);
  const context = contextOf(options);

  const source = await loadSource(file.source);
  const show = (title: string, steps: readonly CheckStep[]): boolean => {
    terminal.out(`${title}\n${terminal.clean(stepsText(steps))}`);
    return steps.every(({ ok }) => ok);
  };
  const sourceWorks = show(`Source: ${file.source.manifest.name}`, await source.check(file.source.config, context));
  const target = await loadTarget(file.target);
  const targetWorks = show(`Target: ${file.target.manifest.name}`, await target.check(file.target.config, context));
  if (!sourceWorks) return exitCodes.error;

  const rows = await source.sample(file.source.config, { ...context, stream: file.stream, limit: sampleRows });
  terminal.out(
    rows.length === 0
      ? 'No row to show: the source holds none that can be read yet.'
      : `The newest ${count(rows.length, 'row')} of ${streamName(file.source, file.stream)}`,
  );
  for (const row of rows) {
    const lines = mapper === null ? [`  ${rowText(row)}`] : [`  before  ${rowText(row)}`, ...afterText(mapper, row)];
    terminal.out(lines.join('\n'));
  }
  return targetWorks ? exitCodes.ok : exitCodes.error;
};

const typeText = (schema: StreamSchema): string => {
  if (schema.columns === null) return 'its rows tell the columns';
  const key = schema.primaryKey.length === 0 ? '' : `; key ${schema.primaryKey.join(', ')}`;
  return `${schema.columns.map(({ name, type }) => (type === null ? name : `${name} ${type.kind}`)).join(', ')}${key}`;
};

export const listStreams = async (options: TryOptions): Promise<ExitCode> => {
  const file = await readSourceFile(options.file, options.environment);
  options.terminal.hide(file.hidden);
  connectorSettings.fileRoot = path.resolve(options.root ?? file.folder);
  const source = await loadSource(file.source);
  const streams = await source.streams(file.source.config, contextOf(options));
  if (streams.length === 0) options.terminal.say(`${file.source.manifest.name} has nothing that could be read.`);
  else options.terminal.out(tableText(streams.map(({ name, schema }) => [name, schema === null ? '' : typeText(schema)])));
  return exitCodes.ok;
};
