/**
 * A process that writes rows to an SQLite file until it is killed. It says `claimed <offset>` first, then each offset whose commit it saw.
 * Arguments: file root, file, table, epoch, rows a delivery, `keyed` for a primary key.
 */
import { connectorSettings } from '@tributary/connector-sdk/settings';
import { noCounts } from '@tributary/contracts/ops';
import { targetConfig } from './config.ts';
import { sqliteTarget } from './target.ts';

const [root = '', file = '', table = '', epoch = '1', perDelivery = '1000', keyed = ''] = process.argv.slice(2);
connectorSettings.fileRoot = root;

const target = await sqliteTarget.open(targetConfig.parse({ path: file }), {
  table,
  slot: { pipelineId: 'p', subscriptionId: 's', slice: 0, slices: 1 },
  epoch: Number(epoch),
  columns: [
    { name: 'id', type: { kind: 'LONG' }, nullable: false },
    { name: 'note', type: { kind: 'STRING' }, nullable: true },
  ],
  primaryKey: keyed === 'keyed' ? ['id'] : [],
  errorTable: null,
  log: { debug: () => {}, info: () => {}, warn: () => {} },
  signal: new AbortController().signal,
});
const { own } = await target.claim();
let offset = Number(own?.position['at'] ?? 0);
process.stdout.write(`claimed ${offset}\n`);
for (;;) {
  const rows = Array.from({ length: Number(perDelivery) }, (_, index) => ({ id: offset + index, note: `row ${offset + index} `.repeat(10) }));
  offset += rows.length;
  const counts = { ...noCounts, read: offset, mapped: offset, emitted: offset, written: offset };
  await target.deliver({
    data: { kind: 'rows', rows, ops: null, originOf: () => ({}) },
    rejected: [],
    checkpoint: { position: { at: String(offset) }, counts },
  });
  process.stdout.write(`${offset}\n`);
}
