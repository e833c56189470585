import type { DatabaseSync } from 'node:sqlite';
import { runChecks } from '@tributary/connector-sdk/check';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { confine, fileRoot } from '@tributary/connector-sdk/file-root';
import { cutText } from '@tributary/connector-sdk/payload';
import { withRefused, type OpenTargetContext, type Target, type TargetConnector } from '@tributary/connector-sdk/target';
import type { RejectedRow } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { claimSlot, createCheckpoints, requireClaim, saveCheckpoint } from './checkpoints.ts';
import type { SqliteTargetConfig } from './config.ts';
import { openDatabase, quoted, type Database } from './database.ts';
import { explainError } from './errors.ts';
import { asking, ensureTable, readTable, type TableWanted } from './table.ts';
import { writeRows } from './write-rows.ts';

const errorColumns = ['rejected_at', 'code', 'reason', 'payload', 'origin', 'pipeline_id', 'subscription_id'];

const openTarget = async (config: SqliteTargetConfig, context: OpenTargetContext): Promise<Target> => {
  const { table, errorTable, slot, epoch, signal } = context;
  const absolute = await confine(await fileRoot(), config.path);
  const database = await openDatabase(absolute, config.path, config.lock_timeout * 1000, signal);
  const wanted: TableWanted = { table, columns: context.columns, primaryKey: context.primaryKey };
  let token: string | null = null;

  const explaining = async <Result>(work: Promise<Result>): Promise<Result> => {
    try {
      return await work;
    } catch (error) {
      signal.throwIfAborted();
      throw explainError(error, config.path, `Writing table "${table}" of`, 'target');
    }
  };

  const createErrors = (connection: DatabaseSync): void => {
    if (errorTable === null) return;
    const found = readTable(asking(connection), errorTable);
    const lacking = found === null ? undefined : errorColumns.find((name) => !found.columns.some((column) => column.name === name));
    if (lacking !== undefined)
      throw new TributaryError('SCHEMA_CONFLICT', `Error table "${errorTable}" of SQLite file "${config.path}" lacks column ${lacking}.`);
    if (found === null)
      connection.exec(
        `CREATE TABLE ${quoted(errorTable)} (rejected_at TIMESTAMP_TEXT, code TEXT, reason TEXT, payload TEXT, origin JSON_TEXT, pipeline_id TEXT, subscription_id TEXT)`,
      );
  };

  const saveErrors = (connection: DatabaseSync, rows: readonly RejectedRow[]): void => {
    if (rows.length === 0) return;
    if (errorTable === null)
      throw new TributaryError('REJECTS_EXCEEDED', `A row was rejected and table "${table}" has no error table: ${rows[0]?.reason ?? ''}`);
    const insert = connection.prepare(`INSERT INTO ${quoted(errorTable)} (${errorColumns.join(', ')}) VALUES (?, ?, ?, ?, ?, ?, ?)`);
    const now = new Date().toISOString().replace('Z', '000Z');
    for (const row of rows)
      insert.run(now, row.code, row.reason.toWellFormed(), row.payload.toWellFormed(), JSON.stringify(row.origin), slot.pipelineId, slot.subscriptionId);
  };

  return {
    formats: [],
    claim: () =>
      explaining(
        database.transaction(signal, 'COMMIT', async (connection) => {
          createCheckpoints(connection);
          const claim = claimSlot(connection, slot, epoch, table);
          ensureTable(connection, wanted, []);
          createErrors(connection);
          token = claim.token;
          return { own: claim.own, others: claim.others };
        }),
      ),
    deliver: ({ data, rejected, checkpoint }) =>
      explaining(
        database.transaction(signal, 'COMMIT', async (connection) => {
          if (data.kind !== 'rows') throw new TributaryError('UNSUPPORTED', 'The SQLite target takes rows only.');
          if (token === null) throw new TributaryError('INTERNAL', 'A delivery came before the slot was claimed.');
          requireClaim(connection, slot, epoch, token);
          const { rows, ops, originOf } = data;
          const found = rows.length === 0 ? null : ensureTable(connection, wanted, rows);
          // Rows without a single value make no table; there is nothing of them to keep.
          const reasons =
            found === null
              ? new Map(rows.map((_, index) => [index, 'The row holds no value, and the table has no column yet.']))
              : await writeRows(connection, wanted, found, rows, ops);
          signal.throwIfAborted();
          const refused = [...reasons].map(([index, reason]): RejectedRow => ({
            code: 'ROW_REFUSED',
            reason,
            payload: cutText(stringifyExact(rows[index])),
            origin: originOf(index),
          }));
          saveErrors(connection, [...rejected, ...refused]);
          const saved = refused.length === 0 ? checkpoint : { ...checkpoint, counts: withRefused(checkpoint.counts, refused.length) };
          // I1, I2: rows, rejected rows and checkpoint commit together, and only while the claim stands.
          saveCheckpoint(connection, slot, epoch, token, saved);
          return { checkpoint: saved, refused };
        }),
      ),
    close: () => database.close(),
  };
};

export const sqliteTarget: TargetConnector<SqliteTargetConfig> = {
  check: async (config, context) => {
    let absolute = '';
    const using = async <Result>(work: (database: Database) => Promise<Result>): Promise<Result> => {
      const database = await openDatabase(absolute, config.path, config.lock_timeout * 1000, context.signal);
      try {
        return await work(database);
      } catch (error) {
        throw explainError(error, config.path, 'Writing', 'target');
      } finally {
        await database.close();
      }
    };
    return runChecks([
      {
        name: 'Folder',
        run: async () => {
          absolute = await confine(await fileRoot(), config.path);
          return 'The path is inside the folder for files.';
        },
      },
      {
        name: 'Open',
        run: () =>
          using((database) =>
            database.transaction(context.signal, 'ROLLBACK', async (connection) => {
              const version = connection.prepare('SELECT sqlite_version() AS version').get();
              return `Opened with SQLite ${String(version?.['version'])}.`;
            }),
          ),
      },
      {
        name: 'Write',
        run: () =>
          using((database) =>
            database.transaction(context.signal, 'ROLLBACK', async (connection) => {
              connection.exec('CREATE TABLE "_tributary_check" (a INTEGER)');
              return 'A table was made and rolled back.';
            }),
          ),
      },
    ]);
  },
  open: openTarget,
};
