/**
 * What the conformance suite needs to know of MongoDB.
 *
 * What was exercised: the server of the devstack. Without a `mongod` on the machine that is SecantusDB, a separate program that speaks MongoDB's wire
 * protocol with transactions and change streams: then real MongoDB was NOT exercised, in particular no election, no sharded cluster, no TLS,
 * no history that a busy oplog has overwritten, and no limit of 60 seconds for a transaction.
 */
import { Decimal128, Long, MongoClient, type Document } from 'mongodb';
import type { Conformance, RawConfig } from '@tributary/conformance/under-test';
import { freshDatabase } from '@tributary/devstack/testing';
import type { Column, Row, Value } from '@tributary/contracts/types';
import { rowOfDocument } from './from-bson.ts';
import { documentEncoder } from './to-bson.ts';
import { targetConfig } from './config.ts';

export const conformance: Conformance = {
  setup: async () => {
    const database = await freshDatabase('mongodb');
    const { hostname, port } = new URL(database.url);
    const client = new MongoClient(database.url, { useBigInt64: true, promoteBuffers: false });
    const db = client.db(database.name);
    const config: RawConfig = { host: hostname, port: Number(port), database: database.name, connection_timeout: 5 };
    const broken = [
      { why: 'a wrong password', config: { ...config, user: 'nobody', password: 'wrong' }, step: 'sign in', says: 'uthentication' },
      { why: 'a closed port', config: { ...config, port: 1, connection_timeout: 2 }, step: 'connect', says: `${hostname}:1` },
      { why: 'TLS where the server has none', config: { ...config, tls: 'require', connection_timeout: 2 }, step: 'tls', says: `${hostname}:${port}` },
      {
        why: 'a connection string that is none',
        config: { connection_string: 'postgres://nobody:secret@db/', database: database.name },
        step: 'connect',
        says: 'mongodb://',
      },
    ];
    const documentsOf = (name: string): Promise<Document[]> => db.collection(name).find().toArray();
    const encoderOf = (columns: readonly Column[]) =>
      documentEncoder(columns, targetConfig.parse({ host: hostname, database: database.name, date_times: 'text' }));
    const insert = async (stream: string, rows: readonly Row[], columns: readonly Column[]): Promise<void> => {
      const encode = encoderOf(columns);
      for (const row of rows) {
        const { id, ...document } = encode(row);
        await db.collection<{ _id: unknown }>(stream).insertOne({ _id: id as unknown, ...document });
      }
    };
    return {
      target: {
        config,
        broken,
        supports: ['upsert', 'delete', 'binary', 'undeclared', 'odd-names'],
        refusedNote: 'half of a character: \ud83d',
        readBack: async (table, columns) => {
          const kinds = new Map(columns.map((column) => [column.name, column.type?.kind]));
          return (await documentsOf(table)).map(({ _id, ...document }) => {
            for (const [name, value] of Object.entries(document)) checkStored(name, kinds.get(name), value);
            return rowOfDocument(kinds.has('_id') ? { _id, ...document } : document);
          });
        },
        readErrors: async (table) =>
          (await documentsOf(table)).map(({ code, reason, payload, origin }) => ({
            code: String(code),
            reason: String(reason),
            payload: String(payload),
            origin: origin as Readonly<Record<string, unknown>>,
          })),
      },
      source: {
        broken: [
          ...broken,
          { why: 'a collection that is not there', config: { ...config, collection: 'no_such_collection' }, step: 'collection', says: 'no_such_collection' },
        ],
        seed: async (stream, rows, columns) => {
          await db.createCollection(stream);
          await insert(stream, rows, columns);
          return { config: { ...config, collection: stream }, stream };
        },
        append: insert,
        unwrap: ({ _id, ...row }) => ({ id: _id as Value, ...row }),
      },
      close: async () => {
        await client.close();
        await database.drop();
      },
    };
  },
};

/** Numbers have to be stored as numbers of their width: reading them back as the same digits would not tell. */
const checkStored = (name: string, kind: string | undefined, value: unknown): void => {
  if (value === null) return;
  const isRight =
    kind === 'LONG'
      ? typeof value === 'bigint' || value instanceof Long
      : kind === 'DECIMAL'
        ? value instanceof Decimal128 || (typeof value === 'string' && value.replace(/\D/g, '').length > 34)
        : true;
  if (!isRight) throw new Error(`Column ${name} of type ${kind} was stored as ${typeof value}.`);
};
