/**
 * One slot as the worker runs it: the Kafka connector's two ends and the engine between them, exactly once. Arguments:
 * brokers, source topic, target topic, messages, and `mapped` or `untouched`. Prints `ready` when the target is claimed
 * and `done` when the last message is committed.
 */
import { manifestOf } from '@tributary/connectors/registry';
import { compileMapper } from '@tributary/engine/mapper/compile';
import { runSlot } from '@tributary/engine/run-slot';
import { mapper as mapperConfig } from './messages.ts';

const [brokers, stream, table, count, way] = process.argv.slice(2);
if (brokers === undefined || stream === undefined || table === undefined || count === undefined)
  throw new Error('Arguments: brokers, source, target, messages, mapped | untouched.');

const say = (message: string, facts?: Readonly<Record<string, unknown>>): void => {
  process.stderr.write(`${message} ${JSON.stringify(facts ?? {})}\n`);
};
const log = { debug: () => undefined, info: say, warn: say };
const stop = new AbortController();
const abort = new AbortController();
const slot = { pipelineId: 'bench', subscriptionId: table, slice: 0, slices: 1 };
const mapper = way === 'mapped' ? compileMapper(mapperConfig) : null;

const manifest = await manifestOf('kafka');
const [from, to] = [manifest?.source, manifest?.target];
if (from === undefined || to === undefined) throw new Error('There is no Kafka connector.');
const [sourceConnector, targetConnector] = await Promise.all([from.load(), to.load()]);
const source = await sourceConnector.open(from.config.parse({ topic: stream, bootstrap_servers: brokers }), {
  log,
  signal: abort.signal,
  stream,
  consumerId: table,
  slice: 0,
  slices: 1,
  mode: 'continuous',
  backfill: true,
  startedAt: new Date(),
});
const target = await targetConnector.open(to.config.parse({ bootstrap_server: brokers }), {
  log,
  signal: abort.signal,
  table,
  slot,
  epoch: 1,
  columns: mapper?.columns ?? null,
  primaryKey: mapper?.primaryKey ?? [],
  errorTable: `${table}-errors`,
});

// What a slot has in a worker with its default settings: a fiftieth of 512 MB, a third of it for each batch.
const creditBytes = Math.floor((512 * 1024 * 1024) / 50);
await runSlot({
  slot,
  source,
  target,
  mapper,
  read: { maxRows: 20_000, maxBytes: Math.floor(creditBytes / 3) },
  creditBytes,
  onRejected: 'table',
  stop: stop.signal,
  abort: abort.signal,
  noProgressMs: 120_000,
  onLive: () => process.stdout.write('ready\n'),
  onCommit: ({ checkpoint }) => {
    if (checkpoint.counts.read < Number(count)) return;
    process.stdout.write('done\n');
    stop.abort();
  },
  log,
});
await Promise.all([source.close(), target.close()]);
