/**
 * A process that writes rows 0 to `wanted` from where the checkpoint stands, to be stopped or killed. It says `writing` once it has claimed.
 * Argument: JSON of `Writing`. Exits with 42 when it was fenced.
 */
import { noCounts, type Slot } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { targetConfig } from './config.ts';
import { mongodbTarget } from './target.ts';

export interface Writing {
  readonly config: Readonly<Record<string, unknown>>;
  readonly slot: Slot;
  readonly epoch: number;
  readonly table: string;
  readonly wanted: number;
  readonly perDelivery: number;
  readonly primaryKey: readonly string[];
  /** Every second row is a delete of a key that is not there: each operation then is a command of its own, and the transaction is long. */
  readonly alternating: boolean;
}

const { config, slot, epoch, table, wanted, perDelivery, primaryKey, alternating } = JSON.parse(process.argv[2] ?? '') as Writing;
const target = await mongodbTarget.open(targetConfig.parse(config), {
  table,
  slot,
  epoch,
  columns: [
    { name: 'id', type: { kind: 'LONG' }, nullable: false },
    { name: 'note', type: { kind: 'STRING' }, nullable: true },
  ],
  primaryKey,
  errorTable: null,
  log: { debug: () => {}, info: () => {}, warn: () => {} },
  signal: new AbortController().signal,
});
const { own } = await target.claim();
process.stdout.write('writing\n');
try {
  for (let from = Number(own?.position['next'] ?? 0); from < wanted; from += perDelivery) {
    const ops = alternating ? Array.from({ length: perDelivery }, (_, index) => (index % 2 === 0 ? ('upsert' as const) : ('delete' as const))) : null;
    const rows = Array.from({ length: perDelivery }, (_, index) => ({ id: from + index, note: `row ${from + index} of epoch ${epoch}` }));
    await target.deliver({
      data: { kind: 'rows', rows, ops, originOf: () => ({}) },
      rejected: [],
      checkpoint: { position: { next: String(from + perDelivery) }, counts: noCounts },
    });
  }
  await target.close();
} catch (error) {
  process.exit(error instanceof TributaryError && error.code === 'FENCED' ? 42 : 1);
}
