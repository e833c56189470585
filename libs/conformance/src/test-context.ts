/** What the tests hand to connectors. */
import { randomBytes } from 'node:crypto';
import type { CallContext, ConnectorLog } from '@tributary/connector-sdk/source';
import { noCounts, type Checkpoint, type Slot } from '@tributary/contracts/ops';
import type { Column } from '@tributary/contracts/types';

const quiet: ConnectorLog = { debug: () => {}, info: () => {}, warn: () => {} };

/** A context that is given up after 60 s, so that a hanging connector fails rather than blocks. */
export const callContext = (): CallContext => ({ log: quiet, signal: AbortSignal.timeout(60_000) });

/** Names that no other test run uses. */
const run = randomBytes(4).toString('hex');
let made = 0;
export const freshName = (about: string): string => `conformance_${run}_${++made}_${about.replaceAll(/[^a-z0-9]+/g, '_')}`;

export const freshSlot = (): Slot => ({ pipelineId: freshName('pipeline'), subscriptionId: randomBytes(12).toString('hex'), slice: 0, slices: 1 });

/** A checkpoint that says `rows` rows were read and written so far. */
export const checkpointAt = (offset: string, rows: number, rejected = 0): Checkpoint => ({
  position: { 'part-0': offset, 'odd "part" \\ 🚀': `${offset}.000001` },
  counts: { ...noCounts, read: rows + rejected, mapped: rows, rejected, emitted: rows, written: rows, bytes: rows * 10 },
});

export const idAndNote: readonly Column[] = [
  { name: 'id', type: { kind: 'LONG' }, nullable: false },
  { name: 'note', type: { kind: 'STRING' }, nullable: true },
];
