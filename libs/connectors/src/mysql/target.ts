/** Writes rows to a table, exactly once: rows, rejected rows and checkpoint are one transaction, conditional on the claim. */
import { shownExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import { withRefused, type Delivery, type DeliveryResult, type OpenTargetContext, type Target, type TargetConnector } from '@tributary/connector-sdk/target';
import { slotId, type OpKind, type RejectedRow } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { testConnection } from './check.ts';
import { claimSlot, createCheckpointTable, fenced, saveCheckpoint, stillOwns } from './checkpoints.ts';
import type { ConnectionConfig } from './config.ts';
import { openSession, type Session } from './connect.ts';
import { createErrorTable, writeRejected } from './error-table.ts';
import { nameProblem, quoteName, sameName } from './identifiers.ts';
import { RefusedInsert } from './load-data.ts';
import { errorNumber } from './server-errors.ts';
import type { TableShape } from './table-shape.ts';
import { growTable, prepareTable, refuseGenerated, widenTable, type WantedTable } from './target-table.ts';
import { inTransaction, withRetries } from './transaction.ts';
import { encoderFor, type EncodeColumn } from './values.ts';
import { blamesRows, planWrite, prepareWriter, writeAll, writeSome, type Refusals, type WriteJob, type Writer } from './write-rows.ts';

export const mysqlTarget: TargetConnector<ConnectionConfig> = {
  check: (config, context) => testConnection(config, context, 'target'),

  open: async (config, context) => {
    const session = await openSession(config, { side: 'target', signal: context.signal });
    return targetOn(session, config, context);
  },
};

const targetOn = (session: Session, config: ConnectionConfig, context: OpenTargetContext): Target => {
  const { database } = config;
  const { slot, epoch, errorTable, primaryKey } = context;
  const wanted: WantedTable = { database, table: context.table, columns: context.columns, primaryKey };
  const where = `table ${quoteName(context.table)}`;
  let token: string | undefined;
  let shape: TableShape | null = null;
  /** What is sent, in order; the names of `columns`. */
  let columns: EncodeColumn[] = [];
  let sent = new Set<string>();
  let writer: Writer | undefined;

  /** Takes columns of the table into use. Missing values of these are null; columns that are not in use keep their default. */
  const use = (names: Iterable<string>): void => {
    const chosen = new Set([...sent, ...names]);
    columns = [];
    for (const column of shape?.columns ?? []) {
      if (!chosen.has(column.name)) continue;
      refuseGenerated(column, where);
      columns.push({ name: column.name, ...encoderFor(column.type) });
    }
    sent = new Set(columns.map((column) => column.name));
    writer = undefined;
  };

  /** Names in these rows that are not sent yet: they are added to the table, or make their rows refused. */
  const takeNewColumns = async (rows: readonly Row[], refusals: Refusals): Promise<void> => {
    const fresh = new Set<string>();
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index] as Row;
      for (const name in row) if (!sent.has(name)) fresh.add(name);
    }
    if (fresh.size === 0) return;
    const known = new Set([...(shape?.columns ?? []).map((column) => column.name), ...fresh]);
    const unusable = new Map(
      [...fresh].flatMap((name) => {
        const other = sameName(name, known);
        // Of new ones that are one to the server, the last stays.
        if (other !== null) known.delete(name);
        const problem = nameProblem(name) ?? (other === null ? null : `it differs from "${other}" in case only`);
        return problem === null ? [] : [[name, `Column "${name.slice(0, 100)}" cannot be made: ${problem}.`] as const];
      }),
    );
    if (unusable.size > 0) {
      for (const [index, row] of rows.entries()) {
        const bad = Object.keys(row).find((name) => unusable.has(name));
        if (bad !== undefined) refusals.set(index, unusable.get(bad) ?? '');
      }
    }
    const usable = [...fresh].filter((name) => !unusable.has(name));
    const present = new Set(shape?.columns.map((column) => column.name));
    const missing = usable.filter((name) => !present.has(name));
    if (missing.length > 0) shape = await growTable(session, wanted, shape, missing, rows);
    use(usable);
  };

  const widenColumns = async (rows: readonly Row[]): Promise<void> => {
    if (shape === null) return;
    const wider = await widenTable(session, wanted, shape, rows);
    if (wider === shape) return;
    shape = wider;
    use([]);
  };

  const plan = async (rows: readonly Row[], ops: readonly OpKind[] | null, refusals: Refusals): Promise<WriteJob | null> => {
    await takeNewColumns(rows, refusals);
    await widenColumns(rows);
    const lacking = primaryKey.find((name) => !sent.has(name));
    if (columns.length === 0 || shape === null || lacking !== undefined) {
      const reason = lacking === undefined ? 'The row holds no value.' : `Key column "${lacking}" has no value.`;
      for (const index of rows.keys()) if (!refusals.has(index)) refusals.set(index, reason);
      return null;
    }
    writer ??= prepareWriter({ table: context.table, shape, columns, primaryKey });
    const job = planWrite(session, writer, rows, ops, primaryKey);
    for (const [index, column] of job.folded.keyless) refusals.set(index, `Key column "${column}" has no value.`);
    if (refusals.size === job.folded.keyless.size) return job;
    const taken = (index: number): boolean => !refusals.has(index);
    return { ...job, folded: { ...job.folded, upserts: job.folded.upserts.filter(taken), deletes: job.folded.deletes.filter(taken) } };
  };

  const refusedRow = (rows: readonly Row[], index: number, reason: string, originOf: (index: number) => RejectedRow['origin']): RejectedRow => ({
    code: 'ROW_REFUSED',
    reason,
    payload: cutText(shownExact(rows[index] ?? null)),
    origin: originOf(index),
  });

  const deliverRows = async (delivery: Delivery, claim: string): Promise<DeliveryResult> => {
    const { data, rejected } = delivery;
    if (data.kind === 'encoded') throw new TributaryError('UNSUPPORTED', 'The MySQL target takes rows only, no encoded bytes.');
    const { rows, ops, originOf } = data;
    if (primaryKey.length === 0 && ops?.includes('delete') === true) {
      throw new TributaryError('CONFIG_INVALID', `A row of ${where} is to be deleted, but no column of the mapper is a primary_key. Declare the key.`);
    }
    const early: Refusals = new Map();
    const job = rows.length === 0 ? null : await plan(rows, ops, early);

    const commit = async (write: () => Promise<Refusals>): Promise<DeliveryResult> =>
      withRetries(() =>
        inTransaction(session, async () => {
          const found = new Map([...early, ...(await write())]);
          const refused = [...found].sort(([one], [other]) => one - other).map(([index, reason]) => refusedRow(rows, index, reason, originOf));
          const lost = [...rejected, ...refused];
          if (errorTable !== null) await writeRejected(session, errorTable, slot.subscriptionId, lost);
          else if (lost[0] !== undefined) {
            throw new TributaryError('REJECTS_EXCEEDED', `A row for ${where} was rejected, and the subscription has no error table: ${lost[0].reason}`, {
              details: { origin: lost[0].origin },
            });
          }
          const counts = withRefused(delivery.checkpoint.counts, refused.length);
          const checkpoint = { position: delivery.checkpoint.position, counts };
          // I1, I2: rows, rejected rows, checkpoint and owner in one commit.
          await saveCheckpoint(session, slot, epoch, claim, checkpoint);
          return { checkpoint, refused };
        }),
      );

    if (job === null) return commit(() => Promise.resolve(new Map()));
    try {
      return await commit(async () => {
        await writeAll(job);
        return new Map();
      });
    } catch (error) {
      if (!blamesRows(error)) throw error;
      // The message of the server quotes values, which belong into the error table only.
      context.log.warn('The server refused rows of a batch; the bad ones are looked for.', { table: context.table, error: errorNumber(error) });
      return commit(() => writeSome(job));
    }
  };

  /** A session ended by the server may mean that an heir did it. */
  const isFenced = async (claim: string): Promise<boolean> => {
    if (context.signal.aborted) return false;
    const other = await openSession(config, { side: 'target', signal: context.signal }).catch(() => undefined);
    try {
      return other !== undefined && !(await stillOwns(other, slot, claim));
    } catch {
      return false;
    } finally {
      await other?.close();
    }
  };

  return {
    formats: [],

    claim: async () => {
      try {
        await createCheckpointTable(session, database);
        const claim = await claimSlot(session, database, slot, epoch, context.table);
        token = claim.token;
        shape = await prepareTable(session, wanted);
        if (errorTable !== null) await createErrorTable(session, database, errorTable);
        if (shape !== null) {
          const ownColumns = context.columns?.map((column) => column.name);
          // Where the rows tell, all columns of the table belong to the row, but for those with a default of their own.
          use(ownColumns ?? shape.columns.filter((column) => !column.hasDefault && !column.generated).map((column) => column.name));
        }
        return { own: claim.own, others: claim.others };
      } catch (error) {
        throw session.explain(error);
      }
    },

    deliver: async (delivery) => {
      if (token === undefined) throw new TributaryError('INTERNAL', `Slot ${slotId(slot)} was not claimed before the first delivery.`);
      try {
        return await deliverRows(delivery, token);
      } catch (error) {
        if (error instanceof TributaryError) throw error;
        const explained = session.explain(error instanceof RefusedInsert ? error.cause : error);
        if (explained instanceof TributaryError && explained.kind === 'transient' && (await isFenced(token))) throw fenced(slot, epoch);
        throw explained;
      }
    },

    close: () => session.close(),
  };
};
