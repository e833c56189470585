/** Takes the workers' reports into the pipelines: state, counts, lag. Each is applied once, by the slot's `seq`. */
import type { Envelope } from '@tributary/contracts/events/envelope';
import { slotFailed, slotLive, slotProgress, slotStopped } from '@tributary/contracts/events/slot-reports';
import { nextPipelineState, type PipelineEvent } from '@tributary/contracts/pipeline-state';
import { on, type Handler } from '@tributary/bus/consume';
import { codes } from '@tributary/errors/codes';
import { TributaryError } from '@tributary/errors/error';
import type { PipelineDoc, PipelineErrorDoc, SlotDoc } from '@tributary/store/pipelines';
import type { Stores } from '../stores.ts';
import { emptySlot, wantedSlots } from './slots.ts';
import { writePipeline } from './write.ts';

interface About {
  readonly pipeline_id: string;
  readonly subscription_id: string;
  readonly slot_id: string;
  readonly slice: number;
  readonly slices: number;
  readonly generation: number;
}

type Figures = Partial<Pick<SlotDoc, 'counts' | 'lag' | 'latency' | 'last_event_at'>>;

/** Reports of a deleted pipeline come late and change nothing. */
const gone = new TributaryError('NOT_FOUND', 'The pipeline is deleted.');

/** What the slots say together, after the slot `after` reported; null: nothing new. */
const eventOf = (kind: 'live' | 'failed' | 'stopped', doc: PipelineDoc): PipelineEvent | null => {
  if (kind === 'failed') return 'failed';
  const slots = wantedSlots(doc);
  if (!slots.every((slot) => slot.generation === doc.generation && slot.state === kind)) return null;
  if (kind === 'stopped') return 'all-stopped';
  return doc.state === 'error' ? 'recovered' : 'all-live';
};

export const slotReportHandlers = (stores: Stores): Handler[] => {
  const { pipelines } = stores;

  /** Figures alone: no state moves, so it needs no `seq` of the pipeline and never stands in the way of a command. */
  const applyFigures = async (event: Envelope, about: About, figures: Figures): Promise<void> => {
    const path = `slots.${about.slot_id}`;
    const set = Object.fromEntries(Object.entries({ ...figures, seq: event.seq }).map(([field, value]) => [`${path}.${field}`, value]));
    const here = { _id: about.pipeline_id, deleted: false };
    const updated = await pipelines.updateOne({ ...here, [`${path}.seq`]: { $lt: event.seq } }, { $set: set });
    if (updated.matchedCount > 0) return;
    const slot = { ...emptySlot(about), ...figures, seq: event.seq };
    await pipelines.updateOne({ ...here, [path]: { $exists: false } }, { $set: { [path]: slot } });
  };

  const applyState = async (
    event: Envelope,
    about: About,
    kind: 'live' | 'failed' | 'stopped',
    change: { readonly figures?: Figures; readonly error?: PipelineErrorDoc },
  ): Promise<void> => {
    const read = async (): Promise<PipelineDoc> => {
      const doc = await pipelines.findOne({ _id: about.pipeline_id, deleted: false }, { outbox: 0, outbox_claim: 0 }).lean<PipelineDoc>();
      if (doc === null) throw gone;
      return doc;
    };
    try {
      await writePipeline(stores, read, async (doc) => {
        const known = doc.slots[about.slot_id];
        if (known !== undefined && known.seq >= event.seq) return null;
        // A late report of an earlier start or pause tells nothing about the state now.
        if (about.generation !== doc.generation) {
          await applyFigures(event, about, change.figures ?? {});
          return null;
        }
        const slot: SlotDoc = {
          ...(known ?? emptySlot(about)),
          ...change.figures,
          seq: event.seq,
          generation: about.generation,
          state: kind,
          error: change.error ?? null,
        };
        const path = `slots.${about.slot_id}`;
        const happened = eventOf(kind, { ...doc, slots: { ...doc.slots, [about.slot_id]: slot } });
        const next = happened === null ? null : nextPipelineState(doc.state, happened);
        if (next === null) return { set: { [path]: slot } };
        return {
          set: {
            [path]: slot,
            state: next,
            error: next === 'error' ? (change.error ?? doc.error) : null,
            ...(next === doc.state ? {} : { updated_at: new Date() }),
          },
        };
      });
    } catch (error) {
      if (error !== gone) throw error;
    }
  };

  return [
    on(slotLive, (event, data) => applyState(event, data, 'live', {})),
    on(slotStopped, (event, data) => applyState(event, data, 'stopped', { figures: { counts: data.counts } })),
    on(slotFailed, (event, data) =>
      applyState(event, data, 'failed', {
        error: {
          code: data.code,
          message: data.message,
          help: data.help === '' && data.code in codes ? codes[data.code as keyof typeof codes].help : data.help,
          retry_at: data.retry_at,
        },
      }),
    ),
    on(slotProgress, (event, data) =>
      applyFigures(event, data, { counts: data.counts, lag: data.lag, latency: data.latency, last_event_at: data.last_event_at }),
    ),
  ];
};
