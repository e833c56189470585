import { DuckDBTimestampTZValue, type DuckDBConnection } from '@duckdb/node-api';
import { runChecks } from '@tributary/connector-sdk/check';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { confine, fileRoot } from '@tributary/connector-sdk/file-root';
import { cutText } from '@tributary/connector-sdk/payload';
import { withRefused, type Delivery, type DeliveryResult, type OpenTargetContext, type Target, type TargetConnector } from '@tributary/connector-sdk/target';
import { type RejectedRow } from '@tributary/contracts/ops';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { claimSlot, createCheckpoints, saveCheckpoint } from './checkpoints.ts';
import { openDatabase, quoted } from './database.ts';
import type { DuckdbTargetConfig } from './config.ts';
import { ensureTable, tableName, type TableWanted } from './table.ts';
import { appendTo, writeRows } from './write-rows.ts';

/** Errors of DuckDB that a single row can cause. */
const rowErrors = /^(Constraint|Conversion|Out of Range|Invalid Input) Error/;

const inTransaction = async <Result>(connection: DuckDBConnection, end: 'COMMIT' | 'ROLLBACK', work: () => Promise<Result>): Promise<Result> => {
  await connection.run('BEGIN TRANSACTION');
  try {
    const result = await work();
    await connection.run(end);
    return result;
  } catch (error) {
    // A failed commit has ended the transaction already.
    await connection.run('ROLLBACK').catch(() => {});
    throw error;
  }
};

const openTarget = async (config: DuckdbTargetConfig, context: OpenTargetContext): Promise<Target> => {
  const { table, errorTable, slot, epoch } = context;
  const { schema } = config;
  const database = await openDatabase(await confine(await fileRoot(), config.path), config.path, config.memory_limit_mb);
  const wanted: TableWanted = { schema, table, columns: context.columns, primaryKey: context.primaryKey };
  const errors = errorTable === null ? null : tableName({ schema, table: errorTable });

  const explain = (error: unknown): TributaryError =>
    error instanceof TributaryError
      ? error
      : new TributaryError('TARGET_FAILED', `Writing table "${table}" of DuckDB file "${config.path}" failed: ${messageOf(error)}`, { cause: error });

  const saveErrors = async (connection: DuckDBConnection, rows: readonly RejectedRow[]): Promise<void> => {
    if (rows.length === 0) return;
    if (errors === null) throw new TributaryError('REJECTS_EXCEEDED', `A row was rejected and table "${table}" has no error table: ${rows[0]?.reason ?? ''}`);
    const now = new DuckDBTimestampTZValue(BigInt(Date.now()) * 1000n);
    await appendTo(
      connection,
      errors,
      ['rejected_at', 'code', 'reason', 'payload', 'origin', 'pipeline_id', 'subscription_id'],
      [
        rows.map(() => now),
        rows.map((row) => row.code),
        rows.map((row) => row.reason.toWellFormed()),
        rows.map((row) => row.payload.toWellFormed()),
        rows.map((row) => JSON.stringify(row.origin)),
        rows.map(() => slot.pipelineId),
        rows.map(() => slot.subscriptionId),
      ],
    );
  };

  const deliver = async (connection: DuckDBConnection, { data, rejected, checkpoint }: Delivery): Promise<DeliveryResult> => {
    if (data.kind !== 'rows') throw new TributaryError('UNSUPPORTED', 'The DuckDB target takes rows only.');
    const { rows, ops, originOf } = data;
    const all = Array.from(rows, (_, index) => index);

    const write = async (indices: readonly number[]): Promise<Map<number, string>> => {
      const found = await ensureTable(connection, wanted, rows);
      // Rows without a single value make no table; there is nothing of them to keep.
      return found === null
        ? new Map(indices.map((index) => [index, 'The row holds no value, and the table has no column yet.']))
        : writeRows(connection, wanted, found, rows, indices, ops);
    };

    const commit = (known: ReadonlyMap<number, string>): Promise<DeliveryResult> =>
      inTransaction(connection, 'COMMIT', async () => {
        const unfit = rows.length === known.size ? new Map<number, string>() : await write(known.size === 0 ? all : all.filter((index) => !known.has(index)));
        const refused = [...known, ...unfit]
          .sort(([a], [b]) => a - b)
          .map(([index, reason]): RejectedRow => ({ code: 'ROW_REFUSED', reason, payload: cutText(stringifyExact(rows[index])), origin: originOf(index) }));
        await saveErrors(connection, [...rejected, ...refused]);
        const saved = refused.length === 0 ? checkpoint : { ...checkpoint, counts: withRefused(checkpoint.counts, refused.length) };
        // I1, I2: rows, rejected rows and checkpoint commit together, and only while the epoch is ours.
        await saveCheckpoint(connection, schema, slot, epoch, saved);
        return { checkpoint: saved, refused };
      });

    /** Finds the rows that constraints refuse: each is tried behind all rows that were good before it. */
    const bisect = async (): Promise<Map<number, string>> => {
      const refused = new Map<number, string>();
      const good: number[] = [];
      const attempt = async (indices: readonly number[]): Promise<string | null> => {
        try {
          await inTransaction(connection, 'ROLLBACK', () => write([...good, ...indices]));
          return null;
        } catch (error) {
          if (!rowErrors.test(messageOf(error))) throw error;
          return messageOf(error);
        }
      };
      const visit = async (indices: readonly number[]): Promise<void> => {
        const message = await attempt(indices);
        const [first] = indices;
        if (message === null) good.push(...indices);
        else if (indices.length === 1 && first !== undefined) refused.set(first, `DuckDB refused the row: ${message.split('\n')[0] ?? ''}`);
        else {
          const middle = indices.length >> 1;
          await visit(indices.slice(0, middle));
          await visit(indices.slice(middle));
        }
      };
      await visit(all);
      return refused;
    };

    try {
      return await commit(new Map());
    } catch (error) {
      if (!rowErrors.test(messageOf(error))) throw error;
      const refused = await bisect();
      if (refused.size === 0) throw error;
      return commit(refused);
    }
  };

  return {
    formats: [],
    claim: () =>
      database.exclusive(async (connection) => {
        context.signal.throwIfAborted();
        try {
          return await inTransaction(connection, 'COMMIT', async () => {
            await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`);
            await createCheckpoints(connection, schema);
            const claimed = await claimSlot(connection, schema, slot, epoch);
            await ensureTable(connection, wanted, []);
            if (errors !== null)
              await connection.run(
                `CREATE TABLE IF NOT EXISTS ${errors} (rejected_at TIMESTAMPTZ, code VARCHAR, reason VARCHAR, payload VARCHAR, origin JSON, pipeline_id VARCHAR, subscription_id VARCHAR)`,
              );
            return claimed;
          });
        } catch (error) {
          throw explain(error);
        }
      }),
    deliver: (delivery) =>
      database.exclusive(async (connection) => {
        context.signal.throwIfAborted();
        try {
          return await deliver(connection, delivery);
        } catch (error) {
          throw explain(error);
        }
      }),
    close: () => database.close(),
  };
};

export const duckdbTarget: TargetConnector<DuckdbTargetConfig> = {
  check: async (config) => {
    let absolute = '';
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
        run: async () => {
          const database = await openDatabase(absolute, config.path, config.memory_limit_mb);
          try {
            const [version] = await database.exclusive(async (connection) => (await connection.runAndReadAll('SELECT version()')).getRows()[0] ?? []);
            return `Opened with DuckDB ${String(version)}.`;
          } finally {
            await database.close();
          }
        },
      },
      {
        name: 'Write',
        run: async () => {
          const database = await openDatabase(absolute, config.path, config.memory_limit_mb);
          try {
            await database.exclusive((connection) =>
              inTransaction(connection, 'ROLLBACK', async () => {
                await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quoted(config.schema)}`);
                await connection.run(`CREATE TABLE ${tableName({ schema: config.schema, table: '_tributary_check' })} (a INTEGER)`);
              }),
            );
            return 'A table was made and rolled back.';
          } finally {
            await database.close();
          }
        },
      },
    ]);
  },
  open: openTarget,
};
