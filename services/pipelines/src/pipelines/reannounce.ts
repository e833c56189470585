/**
 * Announces orders again that nobody answered: the command or a report was lost, with Kafka's data or to somebody else.
 * Workers that know the order go on and report how they are; pipelines that run, well or badly, are left alone.
 */
import type { PipelineDoc } from '@tributary/store/pipelines';
import type { Stores } from '../stores.ts';
import { repeatedOrder, writeOnce } from './write.ts';

const answerMs = 15_000;
const mostAtOnce = 200;

/** One sweep. Returns how many orders were announced again: none twice within 15 s, however many processes sweep. */
export const reannounce = async (stores: Stores): Promise<number> => {
  const { pipelines } = stores;
  const before = new Date(Date.now() - answerMs);
  const overdue = { deleted: false, state: { $in: ['building', 'stopping'] as const }, announced_at: { $not: { $gte: before } } };
  const found = await pipelines
    .find({ ...overdue, outbox_pending: false }, { _id: 1 })
    .sort({ announced_at: 1 })
    .limit(mostAtOnce)
    .lean();
  let announced = 0;
  for (const { _id } of found) {
    const doc = await pipelines.findOne({ ...overdue, _id }, { outbox: 0, outbox_claim: 0 }).lean<PipelineDoc>();
    if (doc === null) continue;
    // One try: whoever wrote meanwhile gave a new order, or it was answered.
    const write = repeatedOrder(doc);
    if (write !== null && (await writeOnce(stores, doc, write)) !== null) announced += 1;
  }
  return announced;
};
