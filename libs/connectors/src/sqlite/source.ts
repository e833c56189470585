/** Reads tables and views: all rows in the order of cursor and key, then those that come later. */
import { runChecks } from '@tributary/connector-sdk/check';
import { confine, fileRoot } from '@tributary/connector-sdk/file-root';
import { furthestKeyset, keysetBeginning, readKeysetPosition, writeKeysetPosition } from '@tributary/connector-sdk/keyset-position';
import { keysetNow, keysetReader } from '@tributary/connector-sdk/keyset-reader';
import type { CallContext, OpenSourceContext, Source, SourceConnector, StreamInfo } from '@tributary/connector-sdk/source';
import { TributaryError } from '@tributary/errors/error';
import type { SqliteSourceConfig } from './config.ts';
import { openReading, type Reading } from './reading.ts';
import { askTable, countBehind, keysetTable, newestRows, schemaOf, sourceTable, type SourceTable } from './source-table.ts';

/** Streams whose columns are listed; the others are named only. */
const describedStreams = 200;
/** Rows behind the checkpoint are counted up to here. */
const countedLag = 1_000_000;

const open = async (config: SqliteSourceConfig, signal: AbortSignal): Promise<Reading> =>
  openReading(await confine(await fileRoot(), config.path), config.path, signal);

const using = async <Result>(config: SqliteSourceConfig, { signal }: CallContext, work: (reading: Reading) => Promise<Result>): Promise<Result> => {
  const reading = await open(config, signal);
  try {
    return await work(reading);
  } finally {
    reading.close();
  }
};

const findTable = async (reading: Reading, config: SqliteSourceConfig, stream: string | null): Promise<SourceTable> => {
  const name = stream ?? config.table;
  if (name == null) throw new TributaryError('CONFIG_INVALID', 'table: no table is named, neither by the data model nor in the connection.');
  const found = await askTable(reading, name);
  if (found === null) throw new TributaryError('STREAM_NOT_FOUND', `There is no table "${name}" in SQLite file "${config.path}".`);
  return sourceTable(name, found, config);
};

const openSource = async (config: SqliteSourceConfig, context: OpenSourceContext): Promise<Source> => {
  const reading = await open(config, context.signal);
  let table: SourceTable;
  try {
    table = await findTable(reading, config, context.stream);
  } catch (error) {
    reading.close();
    throw error;
  }
  const keyset = keysetTable(table, reading);
  return {
    formats: [],
    schema: () => Promise.resolve(table.schema),
    firstPosition: async () => writeKeysetPosition(context.backfill ? keysetBeginning : await keysetNow(keyset)),
    mergePositions: furthestKeyset,
    read: (from, options) => {
      if (options.format !== 'rows') throw new TributaryError('UNSUPPORTED', `The SQLite source gives rows only, not ${options.format}.`);
      return keysetReader(from, {
        ...options,
        table: keyset,
        mode: context.mode,
        pollInterval: config.poll_interval_seconds * 1_000,
        log: context.log,
        release: () => Promise.resolve(reading.letGo()),
      });
    },
    lag: (from) => {
      const position = readKeysetPosition(from, keyset.what);
      const key = position.key ?? [];
      const behind = table.cursor === null ? position.key : position.cursor === null ? null : [position.cursor, ...key];
      return countBehind(table, reading, behind, countedLag);
    },
    close: () => Promise.resolve(reading.close()),
  };
};

export const sqliteSource: SourceConnector<SqliteSourceConfig> = {
  check: (config, context) =>
    runChecks([
      {
        name: 'Folder',
        run: async () => {
          await confine(await fileRoot(), config.path);
          return 'The path is inside the folder for files.';
        },
      },
      {
        name: 'Open',
        run: () =>
          using(config, context, async (reading) => {
            const [row] = await reading.askAll(`SELECT count(*) AS count, sqlite_version() AS version FROM sqlite_schema WHERE type IN ('table', 'view')`);
            return `Opened with SQLite ${String(row?.['version'])}: ${String(row?.['count'])} tables and views.`;
          }),
      },
      ...(config.table == null
        ? []
        : [
            {
              name: 'Table',
              run: () =>
                using(config, context, async (reading) => {
                  await newestRows(await findTable(reading, config, null), reading, 1);
                  return `Table "${config.table}" can be read.`;
                }),
            },
          ]),
    ]),

  streams: (config, context) =>
    using(config, context, async (reading) => {
      const tables = await reading.askAll(
        `SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> '_tributary_checkpoints' ORDER BY name`,
      );
      const streams: StreamInfo[] = [];
      for (const [index, { name }] of tables.entries()) {
        const stream = String(name);
        const table = index < describedStreams ? await askTable(reading, stream) : null;
        streams.push({ name: stream, schema: table === null ? null : schemaOf(stream, table) });
      }
      return streams;
    }),

  sample: (config, context) => using(config, context, async (reading) => newestRows(await findTable(reading, config, context.stream), reading, context.limit)),

  open: openSource,
};
