/** Reads tables: all rows in the order of cursor and key, then those that come later. */
import type { CallContext, OpenSourceContext, Source, SourceConnector, StreamInfo } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { testConnection } from './check.ts';
import type { SourceConfig } from './config.ts';
import { openSession, type Session } from './connect.ts';
import { quoteName } from './identifiers.ts';
import { keysetBeginning, longestSameCursor, readKeysetPosition, writeKeysetPosition, type KeysetPosition } from '@tributary/connector-sdk/keyset-position';
import { compareTerms, previewTable, rowOf, schemaOf, sourceTable, type SourceTable } from './source-table.ts';
import { fieldsOf, keysOf, lastRow, tableReader } from './table-reader.ts';
import { readShape, type TableShape } from './table-shape.ts';
import { requireWriterList } from './writers.ts';

/** Streams whose columns are listed; the others are named only. */
const describedStreams = 200;
/** Rows behind the checkpoint are counted up to here. */
const countedLag = 1_000_000;

export const mysqlSource: SourceConnector<SourceConfig> = {
  check: (config, context) =>
    testConnection(
      config,
      context,
      'source',
      config.table == null ? [] : [{ name: 'table', run: async (session) => `Table ${(await findTable(session, config, null)).name} can be read.` }],
    ),

  streams: (config, context) =>
    withSession(config, context, async (session) => {
      const tables = await session.query<{ name: string }>(
        'select table_name as name from information_schema.tables where table_schema = database() order by 1',
      );
      const streams: StreamInfo[] = [];
      for (const [index, { name }] of tables.entries()) {
        const shape = index < describedStreams ? await readShape(session, name) : null;
        streams.push({ name, schema: shape === null ? null : schemaOf(name, shape) });
      }
      return streams;
    }),

  sample: (config, context) =>
    withSession(config, context, async (session) => {
      const { name, shape } = await findShape(session, config, context.stream);
      const byCursor = shape.columns.some((column) => column.name === config.cursor_column) ? [config.cursor_column ?? ''] : [];
      const newest = byCursor.length > 0 ? byCursor : shape.primaryKey;
      const order = newest.length === 0 ? '' : ` order by ${newest.map((column) => `${quoteName(column)} desc`).join(', ')}`;
      const table = previewTable(name, shape);
      const rows = await fieldsOf(session, `${table.select}${order} limit ${Math.max(1, Math.floor(context.limit))}`);
      return rows.map((fields) => rowOf(table, fields));
    }),

  open: async (config, context) => {
    const table = await withSession(config, context, async (session) => {
      await requireWriterList(session, config.user);
      return findTable(session, config, context.stream);
    });
    return sourceOf(config, context, table);
  },
};

const sourceOf = (config: SourceConfig, context: OpenSourceContext, table: SourceTable): Source => {
  const sessions = new Set<Session>();
  const connect = (signal: AbortSignal): Promise<Session> => openSession(config, { side: 'source', signal: AbortSignal.any([signal, context.signal]) });

  return {
    formats: [],

    schema: () => Promise.resolve(table.schema),

    firstPosition: async () => {
      if (context.backfill) return writeKeysetPosition(keysetBeginning);
      return withSession(config, context, async (session) => writeKeysetPosition(await positionNow(session, table)));
    },

    // Slices are not supported, so all positions are of one reader and the one with the most rows read is the furthest.
    mergePositions: (positions) =>
      positions.reduce(
        (furthest: Position, position) =>
          readKeysetPosition(position, 'a MySQL table').read >= readKeysetPosition(furthest, 'a MySQL table').read ? position : furthest,
        {},
      ),

    read: (from, options) => {
      if (options.format !== 'rows') throw new TributaryError('UNSUPPORTED', `The MySQL source gives rows only, not ${options.format}.`);
      return tableReader(from, {
        ...options,
        table,
        mode: context.mode,
        pollInterval: config.poll_interval_seconds * 1_000,
        log: context.log,
        // A reader lives longer than one call, so its session hangs on the context's signal alone.
        connect: () => connect(context.signal),
        onSession: (session) => sessions.add(session),
      });
    },

    lag: (position) => withSession(config, context, (session) => countBeyond(session, table, readKeysetPosition(position, 'a MySQL table'))),

    close: async () => {
      await Promise.all(
        [...sessions].map(async (session) => {
          // A SELECT may be half read: cutting the connection ends it at once.
          session.cut();
          await session.close();
        }),
      );
    },
  };
};

const withSession = async <Result>(config: SourceConfig, context: CallContext, work: (session: Session) => Promise<Result>): Promise<Result> => {
  const session = await openSession(config, { side: 'source', signal: context.signal });
  try {
    return await work(session);
  } catch (error) {
    throw session.explain(error);
  } finally {
    await session.close();
  }
};

const findShape = async (session: Session, config: SourceConfig, stream: string | null): Promise<{ name: string; shape: TableShape }> => {
  const name = stream ?? config.table;
  if (name == null) throw new TributaryError('CONFIG_INVALID', 'table: no table is named, neither by the data model nor in the connection.');
  const shape = await readShape(session, name);
  if (shape === null) throw new TributaryError('STREAM_NOT_FOUND', `There is no table ${quoteName(name)} in ${session.place}.`);
  return { name, shape };
};

const findTable = async (session: Session, config: SourceConfig, stream: string | null): Promise<SourceTable> => {
  const { name, shape } = await findShape(session, config, stream);
  const table = sourceTable(name, shape, config.cursor_column ?? null);
  await session.query(`${table.select} limit 0`);
  return table;
};

/** Behind the last row there is now. */
const positionNow = async (session: Session, table: SourceTable): Promise<KeysetPosition> => {
  const last = await lastRow(session, table, 'rows');
  const start = { ...keysetBeginning, nullsDone: true };
  if (last === null) return start;
  if (table.cursor === null) return { ...start, key: last };
  const [cursor = '', ...key] = last;
  const same = await keysOf(session, table, table.key, ` where ${table.cursor.sql} = ${table.cursor.literal(cursor)} limit ${longestSameCursor + 1}`);
  return { ...start, cursor, key, sameCursor: same.length > longestSameCursor ? null : same };
};

const countBeyond = async (session: Session, table: SourceTable, position: KeysetPosition): Promise<number> => {
  const condition =
    table.cursor === null
      ? position.key === null
        ? 'true'
        : compareTerms(table.key, '>', position.key)
      : position.cursor === null
        ? 'true'
        : compareTerms([table.cursor, ...table.key], '>', [position.cursor, ...(position.key ?? [])]);
  const [row] = await session.query<{ count: string }>(
    `select count(*) as count from (select 1 from ${table.from} where ${condition} limit ${countedLag}) as behind`,
  );
  return Number(row?.count ?? 0);
};
