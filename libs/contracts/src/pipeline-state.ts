/** The pipeline's life as a total table: every event has an answer in every state, `null` meaning "refused". */
export const pipelineStates = ['draft', 'building', 'live', 'stopping', 'paused', 'error'] as const;
export type PipelineState = (typeof pipelineStates)[number];

/**
 * - `start`, `pause`: what a user asks.
 * - `all-live`: every slot of this start has claimed its target and reads.
 * - `all-stopped`: every slot has committed and released.
 * - `failed`: a slot met an error that it cannot pass.
 * - `recovered`: the failing slot works again by itself (the topic appeared, the host is back).
 */
export type PipelineEvent = 'start' | 'pause' | 'all-live' | 'all-stopped' | 'failed' | 'recovered';

export const pipelineTransitions: Readonly<Record<PipelineState, Readonly<Record<PipelineEvent, PipelineState | null>>>> = {
  draft: { start: 'building', pause: null, 'all-live': null, 'all-stopped': null, failed: null, recovered: null },
  building: { start: 'building', pause: 'stopping', 'all-live': 'live', 'all-stopped': null, failed: 'error', recovered: null },
  live: { start: 'live', pause: 'stopping', 'all-live': 'live', 'all-stopped': null, failed: 'error', recovered: 'live' },
  stopping: { start: 'building', pause: 'stopping', 'all-live': null, 'all-stopped': 'paused', failed: 'stopping', recovered: null },
  paused: { start: 'building', pause: 'paused', 'all-live': null, 'all-stopped': 'paused', failed: null, recovered: null },
  error: { start: 'building', pause: 'stopping', 'all-live': 'live', 'all-stopped': null, failed: 'error', recovered: 'live' },
};

/** The next state, or null when the event is refused (a user) or ignored (a report) in this state. */
export const nextPipelineState = (state: PipelineState, event: PipelineEvent): PipelineState | null => pipelineTransitions[state][event];

/** As the API shows it: `stopping` is inside only. */
export const shownState = (state: PipelineState): Exclude<PipelineState, 'stopping'> => (state === 'stopping' ? 'paused' : state);
