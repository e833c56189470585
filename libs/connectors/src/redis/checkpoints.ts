/** What is stored of the slots of a subscription; see scripts.ts for the form. */
import type { Checkpoint } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import { z } from 'zod';

export const checkpointsKey = (prefix: string, subscriptionId: string): string => `${prefix}_tributary_checkpoints:${subscriptionId}`;

const checkpointSchema = z.object({
  position: z.record(z.string(), z.string()),
  counts: z.object({
    read: z.number(),
    mapped: z.number(),
    filtered: z.number(),
    rejected: z.number(),
    emitted: z.number(),
    written: z.number(),
    refused: z.number(),
    bytes: z.number(),
  }),
});

export interface StoredSlot {
  /** `<slices>-<slice>` */
  readonly slot: string;
  readonly isRetired: boolean;
  readonly checkpoint: Checkpoint | null;
}

/** From fields and values in turn. @throws TARGET_FAILED when one cannot be read. */
export const checkpointsIn = (reply: readonly string[], key: string): StoredSlot[] => {
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < reply.length; at += 2) fields.set(reply[at] ?? '', reply[at + 1] ?? '');
  const slots = [...fields.keys()].flatMap((field) => (field.endsWith(':epoch') ? [field.slice(0, -':epoch'.length)] : []));
  return slots.map((slot) => ({ slot, isRetired: fields.get(`${slot}:token`) === '', checkpoint: parseCheckpoint(fields.get(`${slot}:checkpoint`), key) }));
};

const parseCheckpoint = (text: string | undefined, key: string): Checkpoint | null => {
  if (text === undefined) return null;
  try {
    return checkpointSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new TributaryError('TARGET_FAILED', `Hash "${key}" holds a checkpoint that this version cannot read.`, { cause: error });
  }
};
