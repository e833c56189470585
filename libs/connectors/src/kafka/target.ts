import { runChecks } from '@tributary/connector-sdk/check';
import { isTooDeepError, shownExact, stringifyExact } from '@tributary/connector-sdk/exact-json';
import { cutText } from '@tributary/connector-sdk/payload';
import { withRefused, type Delivery, type DeliveryResult, type OpenTargetContext, type Target, type TargetConnector } from '@tributary/connector-sdk/target';
import { slotId, type Checkpoint, type RejectedRow, type Slot } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import type { KafkaClient } from '@tributary/kafka/connection';
import { openProducer, type OutRecord, type TransactionalProducer } from '@tributary/kafka/producer';
import { createTopicIfMissing, listTopics } from '@tributary/kafka/topics';
import { checkpointsTopic } from './checkpoints-topic.ts';
import { checkpointPartition, checkpointRecord, ensureCheckpointsTopic, readCheckpoints, type NamedCheckpoint } from './checkpoints.ts';
import type { KafkaTargetConfig } from './config.ts';
import { connect } from './connect.ts';
import { printable } from './message-rows.ts';
import { refuseReservedTopic } from './reserved-topics.ts';
import { keyOf, missingKeyColumn } from './row-records.ts';

const transactionalIdOf = ({ subscriptionId, slices, slice }: Slot): string => `tributary.${subscriptionId}.${slices}.${slice}`;

const payloadText = (value: Buffer | string | null): string => (typeof value === 'string' ? cutText(value) : printable(value ?? Buffer.alloc(0)));

const errorRecord = ({ code, reason, payload, origin }: RejectedRow): OutRecord => ({ key: null, value: JSON.stringify({ code, reason, payload, origin }) });

/** The record of a row, or why there can be none. */
const recordOf = (row: Row, isDelete: boolean, table: string, primaryKey: readonly string[]): OutRecord | string => {
  try {
    if (primaryKey.length === 0) {
      return isDelete ? `"${table}" has no primary key, so nothing can be deleted from it.` : { key: null, value: stringifyExact(row) };
    }
    const key = keyOf(row, primaryKey);
    if (key === null) return `Column "${missingKeyColumn(row, primaryKey)}" is part of the key of "${table}" and has no value.`;
    return { key, value: isDelete ? null : stringifyExact(row) };
  } catch (error) {
    if (!isTooDeepError(error)) throw error;
    return 'The row is nested too deep to be written as JSON.';
  }
};

/** Records to write, and at the same index where each came from; rows that cannot be records. */
interface Prepared {
  readonly records: OutRecord[];
  readonly originOf: (index: number) => RejectedRow['origin'];
  readonly refused: RejectedRow[];
}

const prepare = (data: Delivery['data'], table: string, primaryKey: readonly string[]): Prepared => {
  const records: OutRecord[] = [];
  const refused: RejectedRow[] = [];
  if (data.kind === 'encoded') {
    for (const batch of data.batches) {
      if (batch.format !== 'kafka-records') throw new TributaryError('INTERNAL', `The Kafka target was given ${batch.format}.`);
      for (const record of batch.payload) records.push(record);
    }
    return { records, refused, originOf: (index) => ({ topic: table, record: index }) };
  }
  const { rows, ops } = data;
  /** Index of the row of each record; null while they are the same. */
  let rowsOfRecords: number[] | null = null;
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as Row;
    const isDelete = ops !== null && ops[index] === 'delete';
    const record = recordOf(row, isDelete, table, primaryKey);
    if (typeof record === 'string') {
      refused.push({ code: 'ROW_REFUSED', reason: record, payload: payloadText(shownExact(row)), origin: data.originOf(index) });
      rowsOfRecords ??= [...records.keys()];
      continue;
    }
    rowsOfRecords?.push(index);
    records.push(record);
  }
  return { records, refused, originOf: (index) => data.originOf(rowsOfRecords === null ? index : (rowsOfRecords[index] ?? -1)) };
};

const openTarget = async (config: KafkaTargetConfig, context: OpenTargetContext): Promise<Target> => {
  const { table, slot, epoch, primaryKey, errorTable, signal, log } = context;
  refuseReservedTopic(table);
  if (errorTable !== null) refuseReservedTopic(errorTable);
  const client = await connect(config.bootstrap_server, config, context);
  let producer: TransactionalProducer | null = null;
  let partition = 0;

  const fenced = (by: NamedCheckpoint): TributaryError =>
    new TributaryError(
      'FENCED',
      `Slot ${slotId(slot)} at epoch ${epoch} has been taken over (epoch ${by.epoch}${by.retired_by === null ? '' : `, by slot ${by.retired_by}`}).`,
    );

  const isOwn = ({ slices, slice }: { slices: number; slice: number }): boolean => slices === slot.slices && slice === slot.slice;
  const isOtherLayout = ({ slices }: { slices: number }): boolean => slices !== slot.slices;

  const refuseIfOlder = (stored: readonly NamedCheckpoint[]): void => {
    const own = stored.find(isOwn);
    if (own !== undefined && (own.epoch > epoch || (own.retired_by !== null && own.epoch === epoch))) throw fenced(own);
  };

  /** Takes a transactional id from whoever has it, and decides what was left open. */
  const takeOver = async (other: Slot): Promise<void> => {
    const heir = await openProducer(client, { idempotent: true, transactionalId: transactionalIdOf(other), topics: [checkpointsTopic] });
    try {
      await heir.init();
    } finally {
      await heir.close();
    }
  };

  const claim: Target['claim'] = async () => {
    await ensureCheckpointsTopic(client);
    await createTopicIfMissing(client, { topic: table });
    if (errorTable !== null) await createTopicIfMissing(client, { topic: errorTable });
    partition = await checkpointPartition(client, slot.subscriptionId);
    const read = (certain: Parameters<typeof readCheckpoints>[3]): Promise<NamedCheckpoint[]> =>
      readCheckpoints(client, partition, slot.subscriptionId, certain, signal);

    // A claim that comes too late must find that out before it takes the producer of the rightful owner.
    const before = await read(() => false);
    refuseIfOlder(before);

    // I2: older producers are fenced, and their last transaction is decided, before any position is read.
    producer = await openProducer(client, { idempotent: true, transactionalId: transactionalIdOf(slot), topics: [checkpointsTopic, table] });
    await producer.init();
    const fencedLayouts = new Set<number>();
    for (const other of before.filter(isOtherLayout)) {
      // What this layout has retired was taken over before it was marked so.
      if (other.retired_by?.startsWith(`${slot.subscriptionId}-${slot.slices}-`) === true) continue;
      await takeOver({ ...slot, slices: other.slices, slice: other.slice });
      fencedLayouts.add(other.slices);
    }
    const stored = await read((layout) => isOwn(layout) || fencedLayouts.has(layout.slices));
    refuseIfOlder(stored);

    // Marks the claim, so that a later one at an older epoch finds it, and retires the other layouts.
    const own = stored.find(isOwn);
    const marks = [checkpointRecord(slot, partition, { epoch, checkpoint: own?.checkpoint ?? null, retired_by: null })];
    for (const other of stored.filter(isOtherLayout)) {
      marks.push(
        checkpointRecord({ ...slot, slices: other.slices, slice: other.slice }, partition, {
          epoch: other.epoch,
          checkpoint: other.checkpoint,
          retired_by: slotId(slot),
        }),
      );
    }
    await inTransaction(producer, async (open) => open.send(checkpointsTopic, marks));
    return { own: own?.checkpoint ?? null, others: stored.filter((one) => !isOwn(one)).flatMap(({ checkpoint }) => (checkpoint === null ? [] : [checkpoint])) };
  };

  /** Commits what `work` wrote, or nothing of it. */
  const inTransaction = async <Result>(open: TransactionalProducer, work: (open: TransactionalProducer) => Promise<Result>): Promise<Result> => {
    open.begin();
    let result: Result;
    try {
      result = await work(open);
    } catch (error) {
      await open
        .abort()
        .catch((abortError: unknown) => log.debug('A transaction could not be aborted; the next claim of the slot does it', { reason: String(abortError) }));
      throw error;
    }
    await open.commit();
    return result;
  };

  /** Writes all records that the topic takes; gives back those that are too large for it. */
  const writeRecords = async (open: TransactionalProducer, prepared: Prepared): Promise<RejectedRow[]> => {
    const tooLarge = new Set<number>();
    for (;;) {
      const kept = tooLarge.size === 0 ? null : [...prepared.records.keys()].filter((index) => !tooLarge.has(index));
      try {
        await open.send(table, kept === null ? prepared.records : kept.map((index) => prepared.records[index] as OutRecord));
        break;
      } catch (error) {
        const index = error instanceof TributaryError && error.code === 'ROW_TOO_LARGE' ? error.details['index'] : undefined;
        if (typeof index !== 'number') throw error;
        tooLarge.add(kept === null ? index : (kept[index] as number));
      }
    }
    return [...tooLarge].map((index) => ({
      code: 'ROW_TOO_LARGE',
      reason: `The row is larger than topic "${table}" takes (max.message.bytes).`,
      payload: payloadText(prepared.records[index]?.value ?? null),
      origin: prepared.originOf(index),
    }));
  };

  const deliver = async (delivery: Delivery): Promise<DeliveryResult> => {
    if (producer === null) throw new TributaryError('INTERNAL', `Slot ${slotId(slot)} was not claimed.`);
    const prepared = prepare(delivery.data, table, primaryKey);
    return inTransaction(producer, async (open) => {
      const refused = [...prepared.refused, ...(await writeRecords(open, prepared))];
      const errors = [...delivery.rejected, ...refused];
      const [first] = refused;
      if (errorTable === null && first !== undefined) {
        throw new TributaryError(
          'REJECTS_EXCEEDED',
          `Topic "${table}" refuses a row and there is no error table: ${first.reason} It is at ${JSON.stringify(first.origin)}.`,
        );
      }
      if (errorTable !== null && errors.length > 0) await open.send(errorTable, errors.map(errorRecord));
      const checkpoint: Checkpoint =
        refused.length === 0 ? delivery.checkpoint : { ...delivery.checkpoint, counts: withRefused(delivery.checkpoint.counts, refused.length) };
      // I1, I2: in the transaction of the rows it stands for, conditional on the producer's epoch.
      await open.send(checkpointsTopic, [checkpointRecord(slot, partition, { epoch, checkpoint, retired_by: null })]);
      return { checkpoint, refused };
    });
  };

  return {
    formats: ['kafka-records'],
    claim,
    deliver,
    close: async () => {
      await producer?.close();
      await client.close();
    },
  };
};

export const kafkaTarget: TargetConnector<KafkaTargetConfig> = {
  check: async (config, context) => {
    let client: KafkaClient | undefined;
    const connected = (): KafkaClient => {
      if (client === undefined) throw new TributaryError('INTERNAL', 'The connection test went on without a connection.');
      return client;
    };
    try {
      return await runChecks([
        {
          name: 'Connect',
          run: async () => {
            client = await connect(config.bootstrap_server, config, context);
            return `Connected to ${client.brokers.join(', ')} by ${config.security_protocol}.`;
          },
        },
        { name: 'Topics', run: async () => `${(await listTopics(connected())).length} topics may be seen.` },
        {
          name: 'Transactions',
          run: async () => {
            const producer = await openProducer(connected(), { idempotent: true, transactionalId: 'tributary.check' });
            try {
              await producer.init();
            } finally {
              await producer.close();
            }
            return 'Transactions may be used.';
          },
        },
      ]);
    } finally {
      await client?.close();
    }
  },
  open: openTarget,
};
