/** The envelope of every platform event. Topics are keyed by aggregate id; `seq` grows by one per aggregate, so consumers apply each once. */
import { z } from 'zod';

export interface EventDefinition<Name extends string, Data extends z.ZodType> {
  /** `<aggregate>.<what>.v<version>`; a changed schema is a new version. */
  readonly name: Name;
  /** Short: on Kafka it is `<namespace>.<topic>`, so that installations can share a cluster. */
  readonly topic: string;
  readonly data: Data;
}

export const defineEvent = <const Name extends string, Data extends z.ZodType>(definition: EventDefinition<Name, Data>) => definition;

/** `id` is unique for ever: a relayed event may arrive twice under the same id. */
export const envelope = z.object({
  id: z.string(),
  name: z.string(),
  aggregate_id: z.string(),
  seq: z.number().int().nonnegative(),
  at: z.iso.datetime(),
  /** W3C traceparent of the request that caused it. */
  trace: z.string().nullable(),
  data: z.unknown(),
});
export type Envelope = z.infer<typeof envelope>;
