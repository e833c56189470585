/** Writes rows as entries of streams or as hashes, with the checkpoint in the same script. */
import { randomUUID } from 'node:crypto';
import { stringifyExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import { withRefused, type Delivery, type DeliveryResult, type OpenTargetContext, type Target, type TargetConnector } from '@tributary/connector-sdk/target';
import { slotId, type Checkpoint, type RejectedRow } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { testConnection } from './check.ts';
import { checkpointsIn, checkpointsKey, type StoredSlot } from './checkpoints.ts';
import type { RedisTargetConfig } from './config.ts';
import { openSession, type Session } from './connect.ts';
import { fieldsOf, keyOf, missingKeyColumn, type FieldFormat, type Problem } from './row-fields.ts';
import { claimScript, deliverScript, runScript } from './scripts.ts';
import { describeDurability, refuseEviction, tryToWrite, waitForFsync } from './server-settings.ts';

interface Write {
  /** The row it comes from. */
  readonly index: number;
  readonly how: 'rows' | 'put' | 'delete';
  readonly key: string;
  readonly fields: readonly string[];
}

const openTarget = async (config: RedisTargetConfig, context: OpenTargetContext): Promise<Target> => {
  const { slot, epoch, primaryKey } = context;
  const isStream = config.write_as === 'stream';
  const table = config.key_prefix + context.table;
  const errorTable = context.errorTable === null ? null : config.key_prefix + context.errorTable;
  if (!isStream && primaryKey.length === 0)
    throw new TributaryError(
      'CONFIG_INVALID',
      `Rows of "${context.table}" are to be hashes, but no column of the mapper is a primary_key. Declare the key, or write a stream.`,
    );
  const session = await openSession(config, { side: 'target', signal: context.signal });
  const checkpoints = checkpointsKey(config.key_prefix, slot.subscriptionId);
  const ownSlot = `${slot.slices}-${slot.slice}`;
  const format: FieldFormat = {
    jsonField: config.json_field,
    jsonColumns: new Set((context.columns ?? []).filter(({ type }) => type?.kind === 'JSON').map(({ name }) => name)),
    withOperation: isStream,
  };
  let token: string | undefined;

  const fenced = (): TributaryError => new TributaryError('FENCED', `Slot ${slotId(slot)} has an owner newer than epoch ${epoch}.`);

  const refuseOtherTypes = async (): Promise<void> => {
    for (const key of [...(isStream ? [table] : []), ...(errorTable === null ? [] : [errorTable])]) {
      const type = await session.redis.type(key);
      if (type !== 'none' && type !== 'stream') throw otherType(key, type);
    }
  };

  const otherType = (key: string, type: string): TributaryError =>
    new TributaryError('SCHEMA_CONFLICT', `Key "${key}" in Redis at ${session.place} holds ${type}, no stream. Choose another name, or delete it.`);

  const writeOf = (row: Row, index: number, isDelete: boolean): Write | Problem => {
    const missing = missingKeyColumn(row, primaryKey);
    if (missing !== undefined) return { code: 'ROW_REFUSED', reason: `Key column "${missing}" has no value.` };
    if (isDelete && primaryKey.length === 0)
      return { code: 'ROW_REFUSED', reason: `"${context.table}" has no primary key, so nothing can be deleted from it.` };
    if (isStream) {
      const fields = fieldsOf(row, isDelete ? 'delete' : 'upsert', format);
      return Array.isArray(fields) ? { index, how: 'rows', key: table, fields } : fields;
    }
    const key = keyOf(row, primaryKey);
    if (!key.isWellFormed()) return { code: 'ROW_REFUSED', reason: 'The key holds half a surrogate pair, which UTF-8 cannot say.' };
    const name = `${table}:${key}`;
    if (isDelete) return { index, how: 'delete', key: name, fields: [] };
    const fields = fieldsOf(row, 'upsert', format);
    return Array.isArray(fields) ? { index, how: 'put', key: name, fields } : fields;
  };

  /** One commit of the writes: all, or none when it gives back the keys that hold something else. */
  const commit = async (
    claim: string,
    writes: readonly Write[],
    errors: readonly RejectedRow[],
    checkpoint: Checkpoint,
  ): Promise<'done' | ReadonlySet<string>> => {
    const keys = [checkpoints];
    const numbers = new Map<string, number>();
    const numberOf = (key: string): number => {
      let number = numbers.get(key);
      if (number === undefined) {
        number = keys.push(key);
        numbers.set(key, number);
      }
      return number;
    };
    const args: (string | number)[] = [];
    // I4: in the order of the rows, one after the other.
    for (const { how, key, fields } of writes) {
      args.push(how, numberOf(key), fields.length);
      for (const field of fields) args.push(field);
    }
    const errorNumber = errorTable === null || errors.length === 0 ? 0 : numberOf(errorTable);
    for (const { code, reason, payload, origin } of errorNumber === 0 ? [] : errors)
      args.push('add', errorNumber, 8, 'code', code, 'reason', reason.toWellFormed(), 'payload', payload.toWellFormed(), 'origin', JSON.stringify(origin));
    // I1, I2: rows, rejected rows and checkpoint in one script, which writes nothing unless this claim still stands.
    const head = [ownSlot, epoch, claim, JSON.stringify(checkpoint), config.max_length ?? '', errorNumber, isStream ? 'stream' : 'hash'];
    const answer = await runScript(session.redis, deliverScript, keys, head.concat(args));
    if (answer === 'done') return answer;
    if (answer === 'fenced') throw fenced();
    const wrong = new Set((answer as number[]).map((number) => keys[number - 1] ?? ''));
    for (const key of wrong) if (isStream || key === errorTable) throw otherType(key, 'something else');
    return wrong;
  };

  const deliver = async (delivery: Delivery, claim: string): Promise<DeliveryResult> => {
    const { data } = delivery;
    if (data.kind === 'encoded') throw new TributaryError('UNSUPPORTED', 'The Redis target takes rows only, no encoded bytes.');
    const { rows, ops, originOf } = data;
    const problems = new Map<number, Problem>();
    let writes: Write[] = [];
    for (let index = 0; index < rows.length; index++) {
      const write = writeOf(rows[index] as Row, index, ops !== null && ops[index] === 'delete');
      if ('how' in write) writes.push(write);
      else problems.set(index, write);
    }
    for (;;) {
      const refused = [...problems]
        .sort(([one], [other]) => one - other)
        .map(([index, { code, reason }]): RejectedRow => ({ code, reason, payload: cutText(stringifyExact(rows[index] ?? null)), origin: originOf(index) }));
      const errors = [...delivery.rejected, ...refused];
      if (errorTable === null && errors[0] !== undefined)
        throw new TributaryError(
          'REJECTS_EXCEEDED',
          `A row for "${context.table}" was rejected, and the subscription has no error table: ${errors[0].reason}`,
          {
            details: { origin: errors[0].origin },
          },
        );
      const checkpoint =
        refused.length === 0 ? delivery.checkpoint : { ...delivery.checkpoint, counts: withRefused(delivery.checkpoint.counts, refused.length) };
      const outcome = await commit(claim, writes, errors, checkpoint);
      if (outcome === 'done') {
        if (config.wait_for_fsync) await waitForFsync(session);
        return { checkpoint, refused };
      }
      for (const { index, key } of writes)
        if (outcome.has(key)) problems.set(index, { code: 'ROW_REFUSED', reason: `Key "${key.slice(0, 200)}" holds something else than a hash.` });
      writes = writes.filter(({ key }) => !outcome.has(key));
    }
  };

  return {
    formats: [],
    claim: async () => {
      try {
        refuseEviction(session);
        await refuseOtherTypes();
        token = randomUUID();
        const before = await runScript(session.redis, claimScript, [checkpoints], [slot.slices, ownSlot, epoch, token]);
        if (before === null) throw fenced();
        const stored: readonly StoredSlot[] = checkpointsIn(before as string[], checkpoints);
        // A slot that another layout took over is behind: its position counts as one among others.
        const own = stored.find((one) => one.slot === ownSlot && !one.isRetired);
        return { own: own?.checkpoint ?? null, others: stored.flatMap((one) => (one === own || one.checkpoint === null ? [] : [one.checkpoint])) };
      } catch (error) {
        throw session.explain(error);
      }
    },
    deliver: async (delivery) => {
      if (token === undefined) throw new TributaryError('INTERNAL', `Slot ${slotId(slot)} was not claimed before the first delivery.`);
      try {
        return await deliver(delivery, token);
      } catch (error) {
        throw session.explain(error);
      }
    },
    close: async () => session.close(),
  };
};

export const redisTarget: TargetConnector<RedisTargetConfig> = {
  check: (config, context) =>
    testConnection(config, context, 'target', [
      { name: 'durability', run: (session: Session) => describeDurability(session, config) },
      { name: 'write', run: (session: Session) => tryToWrite(session, config) },
    ]),
  open: openTarget,
};
