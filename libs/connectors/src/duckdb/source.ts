/** Reads tables and views: all rows in the order of cursor and key, then those that come later. The file is open only while it is read. */
import { stat } from 'node:fs/promises';
import type { DuckDBConnection } from '@duckdb/node-api';
import { runChecks } from '@tributary/connector-sdk/check';
import { confine, fileRoot } from '@tributary/connector-sdk/file-root';
import { furthestKeyset, keysetBeginning, readKeysetPosition, writeKeysetPosition } from '@tributary/connector-sdk/keyset-position';
import { keysetNow, keysetReader, type KeysetTable } from '@tributary/connector-sdk/keyset-reader';
import type { CallContext, OpenSourceContext, Source, SourceConnector, StreamInfo } from '@tributary/connector-sdk/source';
import { messageOf, TributaryError } from '@tributary/errors/error';
import type { DuckdbSourceConfig } from './config.ts';
import { openDatabase } from './database.ts';
import { countBehind, keysetTable, newestRows, readKeys, schemaOf, sourceTable, type SourceTable } from './source-table.ts';
import { readTable } from './table.ts';

/** Streams whose columns are listed; the others are named only. */
const describedStreams = 200;
/** Rows behind the checkpoint are counted up to here. */
const countedLag = 1_000_000;

const explain = (error: unknown, file: string): TributaryError => {
  if (error instanceof TributaryError) return error.code === 'TARGET_FAILED' ? new TributaryError('SOURCE_FAILED', error.message, { cause: error }) : error;
  return new TributaryError('SOURCE_FAILED', `Reading DuckDB file "${file}" failed: ${messageOf(error)}`, { cause: error });
};

interface OpenFile {
  readonly connection: DuckDBConnection;
  close(): Promise<void>;
}

/** @throws STREAM_NOT_FOUND when there is no such file: opening would make one. */
const openFile = async (config: DuckdbSourceConfig): Promise<OpenFile> => {
  const absolute = await confine(await fileRoot(), config.path);
  const info = await stat(absolute).catch(() => null);
  if (info === null) throw new TributaryError('STREAM_NOT_FOUND', `There is no file "${config.path}".`);
  try {
    const database = await openDatabase(absolute, config.path, config.memory_limit_mb);
    const connection = await database.connectReader();
    return {
      connection,
      close: async () => {
        connection.closeSync();
        await database.close();
      },
    };
  } catch (error) {
    throw explain(error, config.path);
  }
};

const using = async <Result>(config: DuckdbSourceConfig, { signal }: CallContext, work: (connection: DuckDBConnection) => Promise<Result>): Promise<Result> => {
  signal.throwIfAborted();
  const file = await openFile(config);
  const abort = (): void => file.connection.interrupt();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await work(file.connection);
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error, config.path);
  } finally {
    signal.removeEventListener('abort', abort);
    await file.close();
  }
};

const findTable = async (connection: DuckDBConnection, config: DuckdbSourceConfig, stream: string | null): Promise<SourceTable> => {
  const name = stream ?? config.table;
  if (name == null) throw new TributaryError('CONFIG_INVALID', 'table: no table is named, neither by the data model nor in the connection.');
  const found = await readTable(connection, { schema: config.schema, table: name, columns: null, primaryKey: [] });
  if (found === null) throw new TributaryError('STREAM_NOT_FOUND', `There is no table "${name}" in schema "${config.schema}" of DuckDB file "${config.path}".`);
  return sourceTable(name, found, await readKeys(connection, config.schema, name), config);
};

const openSource = async (config: DuckdbSourceConfig, context: OpenSourceContext): Promise<Source> => {
  const table = await using(config, context, (connection) => findTable(connection, config, context.stream));
  let file: OpenFile | null = null;
  /** Settles when no query is under way: only then the connection may be closed. */
  let busy: Promise<unknown> = Promise.resolve();
  const { table: keyset, forget } = keysetTable(table, async () => (file ??= await openFile(config)).connection);

  const letGo = async (): Promise<void> => {
    const open = file;
    file = null;
    await busy;
    await forget();
    await open?.close();
  };
  const explaining =
    <Arguments extends unknown[], Result>(work: (...parameters: Arguments) => Promise<Result>) =>
    async (...parameters: Arguments): Promise<Result> => {
      const working = work(...parameters);
      busy = working.catch(() => {});
      try {
        const result = await working;
        // What was interrupted ends early, and without an error.
        context.signal.throwIfAborted();
        return result;
      } catch (error) {
        context.signal.throwIfAborted();
        throw explain(error, config.path);
      }
    };
  const explained: KeysetTable = { ...keyset, last: explaining(keyset.last), page: explaining(keyset.page) };
  const interrupt = (): void => file?.connection.interrupt();
  context.signal.addEventListener('abort', interrupt, { once: true });

  return {
    formats: [],
    schema: () => Promise.resolve(table.schema),
    firstPosition: async () => {
      if (context.backfill) return writeKeysetPosition(keysetBeginning);
      try {
        return writeKeysetPosition(await keysetNow(explained));
      } finally {
        await letGo();
      }
    },
    mergePositions: furthestKeyset,
    read: (from, options) => {
      if (options.format !== 'rows') throw new TributaryError('UNSUPPORTED', `The DuckDB source gives rows only, not ${options.format}.`);
      return keysetReader(from, {
        ...options,
        table: explained,
        mode: context.mode,
        pollInterval: config.poll_interval_seconds * 1_000,
        log: context.log,
        release: letGo,
      });
    },
    lag: (from) => {
      const position = readKeysetPosition(from, keyset.what);
      const behind = table.cursor === null ? position.key : position.cursor === null ? null : [position.cursor, ...(position.key ?? [])];
      return using(config, context, (connection) => countBehind(table, connection, behind, countedLag));
    },
    close: async () => {
      context.signal.removeEventListener('abort', interrupt);
      interrupt();
      await letGo();
    },
  };
};

export const duckdbSource: SourceConnector<DuckdbSourceConfig> = {
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
          using(config, context, async (connection) => {
            const [version] = (await connection.runAndReadAll('SELECT version()')).getRows()[0] ?? [];
            return `Opened with DuckDB ${String(version)}.`;
          }),
      },
      ...(config.table == null
        ? []
        : [
            {
              name: 'Table',
              run: () =>
                using(config, context, async (connection) => {
                  await newestRows(await findTable(connection, config, null), connection, 1);
                  return `Table "${config.table}" can be read.`;
                }),
            },
          ]),
    ]),

  streams: (config, context) =>
    using(config, context, async (connection) => {
      const found = await connection.runAndReadAll(
        "SELECT DISTINCT table_name FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = $schema AND NOT internal AND table_name <> '_tributary_checkpoints' ORDER BY 1",
        { schema: config.schema },
      );
      const streams: StreamInfo[] = [];
      for (const [index, [name]] of found.getRows().entries()) {
        const stream = String(name);
        const table = index < describedStreams ? await readTable(connection, { schema: config.schema, table: stream, columns: null, primaryKey: [] }) : null;
        streams.push({ name: stream, schema: table === null ? null : schemaOf(stream, table, await readKeys(connection, config.schema, stream)) });
      }
      return streams;
    }),

  sample: (config, context) =>
    using(config, context, async (connection) => newestRows(await findTable(connection, config, context.stream), connection, context.limit)),

  open: openSource,
};
