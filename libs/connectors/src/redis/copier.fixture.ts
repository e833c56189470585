/** A worker in a process of its own, to be killed: copies a stream by source and target, and tells of each commit. */
import { noCounts, type Slot } from '@tributary/contracts/ops';
import { sourceConfig, targetConfig } from './config.ts';
import { redisSource } from './source.ts';
import { redisTarget } from './target.ts';

const [, , url, input, output, slotText, epoch, writeAs] = process.argv as [string, string, string, string, string, string, string, string];
const slot = JSON.parse(slotText) as Slot;
const context = { log: { debug: () => undefined, info: () => undefined, warn: () => undefined }, signal: AbortSignal.timeout(60_000) };

const target = await redisTarget.open(targetConfig.parse({ url, write_as: writeAs }), {
  ...context,
  table: output,
  slot,
  epoch: Number(epoch),
  columns: null,
  primaryKey: writeAs === 'hashes' ? ['id'] : [],
  errorTable: null,
});
const source = await redisSource.open(sourceConfig.parse({ url, stream: input }), {
  ...context,
  stream: null,
  consumerId: slot.subscriptionId,
  slice: 0,
  slices: 1,
  mode: 'once',
  backfill: true,
  startedAt: new Date(),
});
const { own } = await target.claim();
const reader = source.read(own?.position ?? (await source.firstPosition()), { format: 'rows', maxRows: 200, maxBytes: 1 << 20 });
for (;;) {
  const batch = await reader.next(context.signal);
  if (batch === 'end') break;
  if (batch === 'idle' || batch.kind !== 'rows') continue;
  await target.deliver({
    data: { kind: 'rows', rows: batch.rows, ops: null, originOf: batch.originOf },
    rejected: [],
    checkpoint: { position: batch.position, counts: noCounts },
  });
  process.send?.('committed');
}
await source.close();
await target.close();
process.disconnect();
