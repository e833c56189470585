/** A process that writes rows to part files until it is killed; see the DuckDB one. Arguments: file root, table, epoch, rows a delivery. */
import { connectorSettings } from '@tributary/connector-sdk/settings';
import { noCounts } from '@tributary/contracts/ops';
import { fileTarget } from './target.ts';

const [root = '', table = '', epoch = '1', perDelivery = '100'] = process.argv.slice(2);
connectorSettings.fileRoot = root;

const target = await fileTarget.open(
  { path: 'out', format: 'jsonl', compression: 'none' },
  {
    table,
    slot: { pipelineId: 'p', subscriptionId: 's', slice: 0, slices: 1 },
    epoch: Number(epoch),
    columns: null,
    primaryKey: [],
    errorTable: null,
    log: { debug: () => {}, info: () => {}, warn: () => {} },
    signal: new AbortController().signal,
  },
);
const { own } = await target.claim();
let offset = Number(own?.position.at ?? 0);
process.stdout.write(`claimed ${offset}\n`);
for (;;) {
  const rows = Array.from({ length: Number(perDelivery) }, (_, index) => ({ id: offset + index }));
  offset += rows.length;
  const counts = { ...noCounts, read: offset, mapped: offset, emitted: offset, written: offset };
  await target.deliver({
    data: { kind: 'rows', rows, ops: null, originOf: () => ({}) },
    rejected: [],
    checkpoint: { position: { at: String(offset) }, counts },
  });
  process.stdout.write(`${offset}\n`);
}
