/** Reads collections: every document in the order of `_id`, then what changes. */
import type { Db, Document } from 'mongodb';
import type { CallContext, OpenSourceContext, Source, SourceConnector } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import type { StreamSchema } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { tokenNow } from './change-events.ts';
import { testConnection } from './check.ts';
import { collectionReader, type CollectionReader } from './collection-reader.ts';
import type { SourceConfig } from './config.ts';
import { hasTransactions, openConnection, type Connection } from './connect.ts';
import { rowOfDocument } from './from-bson.ts';
import { needsReplicaSet } from './server-errors.ts';
import { readPosition, writePosition } from './source-position.ts';

/** Fields differ from document to document, so only the key is known. */
const schemaOf = (stream: string): StreamSchema => ({ stream, columns: null, primaryKey: ['_id'] });

export const mongodbSource: SourceConnector<SourceConfig> = {
  check: (config, context) =>
    testConnection(
      config,
      context,
      'source',
      config.collection == null || config.collection === ''
        ? []
        : [
            {
              name: 'collection',
              run: async (connection) => {
                const name = await findCollection(connection, config, null);
                await connection.db.collection(name).findOne({}, { projection: { _id: 1 } });
                return `Collection ${name} can be read.`;
              },
            },
            {
              name: 'changes',
              run: async ({ db, place }) => {
                if (config.mode === 'snapshot') return 'Not followed, as configured.';
                if (!(await hasTransactions(db))) throw new TributaryError('UNSUPPORTED', needsReplicaSet(place.name));
                await tokenNow(db, config.collection ?? '');
                return 'Its changes can be followed.';
              },
            },
          ],
    ),

  streams: (config, context) =>
    withConnection(config, context, async ({ db }) =>
      (await collections(db)).filter(isReadable).map((found) => {
        const name = String(found['name']);
        return { name, schema: schemaOf(name) };
      }),
    ),

  sample: (config, context) =>
    withConnection(config, context, async (connection) => {
      const name = await findCollection(connection, config, context.stream);
      const newest = await connection.db
        .collection(name)
        .find({}, { sort: { _id: -1 }, limit: Math.max(1, Math.floor(context.limit)) })
        .toArray();
      return newest.map(rowOfDocument);
    }),

  open: async (config, context) => {
    const connection = await openConnection(config, 'source', context.signal);
    try {
      const name = await findCollection(connection, config, context.stream);
      if (config.mode !== 'snapshot' && !(await hasTransactions(connection.db)))
        throw new TributaryError('UNSUPPORTED', needsReplicaSet(connection.place.name));
      return sourceOf(connection, config, context, name);
    } catch (error) {
      await connection.close();
      throw connection.explain(error);
    }
  },
};

const sourceOf = (connection: Connection, config: SourceConfig, context: OpenSourceContext, name: string): Source => {
  const readers: CollectionReader[] = [];
  const nothing = { step: 0, isReading: false, after: null, asOf: null, token: null, since: null };
  return {
    formats: [],

    schema: () => Promise.resolve(schemaOf(name)),

    firstPosition: async () => {
      if (config.mode === 'snapshot') return writePosition({ ...nothing, isReading: true });
      // The history of the server reaches back to when the data was asked for; documents from before then are not wanted.
      if (!context.backfill) return writePosition({ ...nothing, since: context.startedAt.getTime() });
      try {
        // Before any document is read: what changes meanwhile is told afterwards.
        return writePosition({ ...nothing, isReading: true, ...(await tokenNow(connection.db, name)) });
      } catch (error) {
        throw connection.explain(error);
      }
    },

    // Slices are not supported, so all positions are of one reader and the one with the most steps is the furthest.
    mergePositions: (positions) =>
      positions.reduce(
        (furthest, position) => (Object.keys(furthest).length === 0 || readPosition(position).step >= readPosition(furthest).step ? position : furthest),
        {} as Position,
      ),

    read: (from, options) => {
      if (options.format !== 'rows') throw new TributaryError('UNSUPPORTED', `The MongoDB source gives rows only, not ${options.format}.`);
      const reader = collectionReader(from, {
        ...options,
        connection,
        collection: connection.db.collection(name),
        mode: context.mode,
        reads: config.mode,
      });
      readers.push(reader);
      return reader;
    },

    close: async () => {
      await Promise.all(readers.map((reader) => reader.close()));
      await connection.close();
    },
  };
};

const withConnection = async <Result>(config: SourceConfig, context: CallContext, work: (connection: Connection) => Promise<Result>): Promise<Result> => {
  const connection = await openConnection(config, 'source', context.signal);
  try {
    return await work(connection);
  } catch (error) {
    throw connection.explain(error);
  } finally {
    await connection.close();
  }
};

const collections = async (db: Db, name?: string): Promise<Document[]> => {
  const found = await db.listCollections(name === undefined ? {} : { name }, { nameOnly: true }).toArray();
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
};

const isReadable = ({ name, type }: Document): boolean => type !== 'view' && type !== 'timeseries' && !/^(system\.|_tributary_)/.test(String(name));

const findCollection = async ({ db, place }: Connection, config: SourceConfig, stream: string | null): Promise<string> => {
  const name = stream ?? config.collection ?? '';
  if (name === '') throw new TributaryError('CONFIG_INVALID', 'collection: no collection is named, neither by the data model nor in the connection.');
  const [found] = await collections(db, name);
  if (found === undefined) throw new TributaryError('STREAM_NOT_FOUND', `There is no collection "${name}" in ${place.name}.`);
  if (found['type'] === 'view' || found['type'] === 'timeseries')
    throw new TributaryError(
      'UNSUPPORTED',
      `"${name}" in ${place.name} is a ${String(found['type'])}, which has no order by _id and no change stream. Read the collection under it.`,
    );
  return name;
};
