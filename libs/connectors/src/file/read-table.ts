/** Reads what the file target wrote, by the reading rule of manifests.ts: only parts that a manifest lists exist. */
import path from 'node:path';
import type { Row } from '@tributary/contracts/types';
import { layoutOf, type FormatConfig } from './file-format.ts';
import { openRecords } from './file-records.ts';
import { listChains, readParts } from './manifests.ts';
import { untouched } from './position.ts';

const asWritten: FormatConfig = { delimiter: ',', header: true, quote: '"', encoding: 'utf-8' };

async function* readPart(folder: string, part: string): AsyncGenerator<Row> {
  const absolute = path.join(folder, part);
  const records = await openRecords({ absolute, path: part, layout: layoutOf(part, asWritten), from: untouched(0), final: true });
  try {
    for (let taken = await records?.take(10_000, 1 << 20); taken != null; taken = await records?.take(10_000, 1 << 20)) yield* taken.rows;
  } finally {
    await records?.close();
  }
}

/** All rows of a table's folder, in the order of their commits within each slot. CSV gives text only. */
export async function* readTable(folder: string): AsyncGenerator<Row> {
  for (const slot of (await listChains(folder)).keys()) for (const part of (await readParts(folder, slot)).parts) yield* readPart(folder, part);
}

/** The rejected rows of the same commits: {rejected_at, code, reason, payload, origin, pipeline_id, subscription_id}. `folder` is that of the data table. */
export async function* readRejected(folder: string): AsyncGenerator<Row> {
  for (const slot of (await listChains(folder)).keys()) for (const part of (await readParts(folder, slot)).errors) yield* readPart(folder, part);
}
