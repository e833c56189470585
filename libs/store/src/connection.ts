/** The service's connection to MongoDB. */
import { TributaryError, messageOf } from '@tributary/errors/error';
import mongoose, { type Connection, type Model } from 'mongoose';

export type { Connection, Model };

/**
 * Connects, and waits up to 15 s for the server.
 * @throws SERVICE_UNAVAILABLE naming the host, never the credentials.
 */
export const openStore = async (options: { readonly uri: string; readonly database: string }): Promise<Connection> => {
  const connection = mongoose.createConnection(options.uri, { dbName: options.database, serverSelectionTimeoutMS: 15_000, autoIndex: false, maxPoolSize: 20 });
  try {
    return await connection.asPromise();
  } catch (error) {
    const host = /@?([^@/]+?)(\/|\?|$)/.exec(options.uri.replace(/^mongodb(\+srv)?:\/\//, ''))?.[1] ?? 'the given address';
    throw new TributaryError('SERVICE_UNAVAILABLE', `MongoDB at ${host} cannot be reached: ${messageOf(error)}`, { cause: error });
  }
};
