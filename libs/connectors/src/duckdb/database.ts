/** The one open instance of each database file in this process, shared by all slots that write it; their transactions take turns. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { messageOf, TributaryError } from '@tributary/errors/error';

export interface Database {
  /** Runs `work` when nobody else uses the file. */
  exclusive<Result>(work: (connection: DuckDBConnection) => Promise<Result>): Promise<Result>;
  /** A connection of its own to read with while others write; it sees what was committed when a query began. The caller closes it. */
  connectReader(): Promise<DuckDBConnection>;
  /** The last to close lets go of the file. */
  close(): Promise<void>;
}

interface Shared {
  readonly instance: DuckDBInstance;
  users: number;
  /** Settles when the last of the work queued up to now has ended. */
  turn: Promise<unknown>;
}

const openFiles = new Map<string, Promise<Shared>>();

/** `file` as the user wrote it, for messages. */
const explainOpening = (error: unknown, file: string): TributaryError => {
  const message = messageOf(error);
  if (/Could not set lock|Conflicting lock|being used by another process/i.test(message))
    return new TributaryError(
      'TARGET_FAILED',
      `DuckDB file "${file}" is open in another program (process ${/PID (\d+)/.exec(message)?.[1] ?? 'unknown'}); close it there, or let one worker run all pipelines that write it.`,
      { cause: error },
    );
  if (/not a valid DuckDB database/i.test(message))
    return new TributaryError('CONFIG_INVALID', `File "${file}" exists, but is no DuckDB database.`, { cause: error });
  if (/Is a directory/i.test(message)) return new TributaryError('CONFIG_INVALID', `"${file}" is a folder, not a DuckDB file.`, { cause: error });
  if (/Permission denied|Read-only file system/i.test(message))
    return new TributaryError('PERMISSION_MISSING', `DuckDB file "${file}" may not be written.`, { cause: error });
  return new TributaryError('TARGET_FAILED', `DuckDB file "${file}" could not be opened: ${message}`, { cause: error });
};

const openShared = async (absolute: string, file: string, memoryMb: number): Promise<Shared> => {
  try {
    await mkdir(path.dirname(absolute), { recursive: true });
    const instance = await DuckDBInstance.create(absolute, {
      // A writer of batches needs few threads; the engine beside it needs the rest.
      threads: '2',
      memory_limit: `${memoryMb}MB`,
      // A view in a file that somebody else made could read any file of this machine, or fetch from its network.
      enable_external_access: 'false',
      autoinstall_known_extensions: 'false',
    });
    return { instance, users: 0, turn: Promise.resolve() };
  } catch (error) {
    throw explainOpening(error, file);
  }
};

/** Opens `absolute`, or shares what is open. `file` is its name for messages. @throws TARGET_FAILED while another process holds it. */
export const openDatabase = async (absolute: string, file: string, memoryMb = 1024): Promise<Database> => {
  let opening = openFiles.get(absolute);
  if (opening === undefined) {
    opening = openShared(absolute, file, memoryMb);
    openFiles.set(absolute, opening);
    opening.catch(() => openFiles.delete(absolute));
  }
  const shared = await opening;
  // The last user may have closed it while this one waited.
  if (openFiles.get(absolute) !== opening) return openDatabase(absolute, file, memoryMb);
  shared.users += 1;
  let connection: DuckDBConnection | null = null;
  let closed = false;

  const exclusive: Database['exclusive'] = (work) => {
    const result = shared.turn.then(async () => {
      if (closed) throw new TributaryError('TARGET_FAILED', `DuckDB file "${file}" was closed meanwhile.`);
      connection ??= await shared.instance.connect();
      return work(connection);
    });
    shared.turn = result.catch(() => {});
    return result;
  };

  return {
    exclusive,
    connectReader: async () => {
      const reader = await shared.instance.connect();
      await reader.run("SET SESSION TimeZone = 'UTC'");
      return reader;
    },
    close: async () => {
      if (closed) return;
      closed = true;
      await shared.turn;
      connection?.closeSync();
      shared.users -= 1;
      if (shared.users > 0) return;
      openFiles.delete(absolute);
      shared.instance.closeSync();
    },
  };
};

/** `name` as an SQL identifier. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
