/** The collections that are written: made when missing, with a unique index on the key. */
import { MongoServerError, type Db } from 'mongodb';
import { TributaryError } from '@tributary/errors/error';
import { serverCode } from './server-errors.ts';

const namespaceExists = 48;
const duplicateKey = 11000;
/** An index of these fields, or of this name, is there and is another one. */
const indexConflicts = new Set([85, 86]);

const nameProblem = (name: string): string | null => {
  if (name === '') return 'it is empty';
  if (name.includes('\0') || name.includes('$')) return 'it holds a NUL or a $';
  if (name.startsWith('system.')) return 'names that begin with system. belong to the server';
  if (Buffer.byteLength(name) > 200) return 'it is longer than 200 bytes';
  return name.isWellFormed() ? null : 'it is no well-formed text';
};

/** Transactions on some servers cannot make collections, so they are made before. */
export const ensureCollection = async (db: Db, name: string): Promise<void> => {
  const problem = nameProblem(name);
  if (problem !== null) throw new TributaryError('SCHEMA_CONFLICT', `"${name.toWellFormed()}" cannot name a collection in MongoDB: ${problem}.`);
  const [there] = await db.listCollections({ name }, { nameOnly: true }).toArray();
  if (there?.type === 'view' || there?.type === 'timeseries')
    throw new TributaryError('SCHEMA_CONFLICT', `"${name}" is a ${there.type} in MongoDB, which takes no transactions. Write to a collection of another name.`);
  if (there !== undefined) return;
  try {
    await db.createCollection(name);
  } catch (error) {
    // Somebody else made it at the same moment.
    if (serverCode(error) !== namespaceExists) throw error;
  }
};

/** Documents are found by the key, and no two of them may have one. */
export const ensureKey = async (db: Db, name: string, key: readonly string[]): Promise<void> => {
  if (key.length === 0 || (key.length === 1 && key[0] === '_id')) return;
  const bad = key.find((column) => column === '' || column.includes('.') || column.startsWith('$') || column.includes('\0'));
  if (bad !== undefined)
    throw new TributaryError(
      'SCHEMA_CONFLICT',
      `"${bad}" cannot be a key column in MongoDB: no index takes a name that is empty, begins with $ or holds a dot.`,
    );
  try {
    await db.collection(name).createIndex(Object.fromEntries(key.map((column) => [column, 1])), { unique: true });
  } catch (error) {
    const code = serverCode(error);
    const fields = key.map((column) => `${JSON.stringify(column)}: 1`).join(', ');
    if (code === duplicateKey)
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `Collection "${name}" holds several documents with one key (${key.join(', ')}), which the mapper declares as primary key. Remove all but one of each.`,
        { cause: error },
      );
    if (error instanceof MongoServerError && indexConflicts.has(code ?? 0))
      throw new TributaryError(
        'SCHEMA_CONFLICT',
        `Collection "${name}" has an index on { ${fields} } that is not unique, or another one of its name. Run: db.getCollection(${JSON.stringify(name)}).dropIndex({ ${fields} })`,
        { cause: error },
      );
    throw error;
  }
};
