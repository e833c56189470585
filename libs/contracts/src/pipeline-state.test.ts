import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nextPipelineState, pipelineStates, pipelineTransitions, shownState, type PipelineEvent, type PipelineState } from './pipeline-state.ts';

const events: readonly PipelineEvent[] = ['start', 'pause', 'all-live', 'all-stopped', 'failed', 'recovered'];
const anyState = fc.constantFrom(...pipelineStates);
const anyEvent = fc.constantFrom(...events);

/** The state after `happened`, where refused and ignored events change nothing. */
const after = (happened: readonly PipelineEvent[], from: PipelineState = 'draft'): PipelineState =>
  happened.reduce((state, event) => nextPipelineState(state, event) ?? state, from);

test('every state answers every event', () => {
  for (const state of pipelineStates) expect(Object.keys(pipelineTransitions[state]).toSorted()).toEqual(events.toSorted());
});

/**
 * The model: what a user wants, and what the slots last said since. A pipeline shows what is wanted and nothing of
 * what was said before, however reports and wishes interleave.
 */
interface Model {
  readonly wanted: 'nothing yet' | 'running' | 'stopped';
  readonly said: 'nothing' | 'live' | 'failed' | 'stopped';
}

const step = ({ wanted, said }: Model, event: PipelineEvent): Model => {
  switch (event) {
    case 'start':
      // Running pipelines stay what they are; one in error tries again.
      return wanted === 'running' && said !== 'failed' ? { wanted, said } : { wanted: 'running', said: 'nothing' };
    case 'pause':
      if (wanted === 'nothing yet') return { wanted, said };
      return wanted === 'stopped' ? { wanted, said } : { wanted: 'stopped', said: 'nothing' };
    case 'all-live':
      return wanted === 'running' ? { wanted, said: 'live' } : { wanted, said };
    case 'failed':
      return wanted === 'running' ? { wanted, said: 'failed' } : { wanted, said };
    case 'recovered':
      return wanted === 'running' && said !== 'nothing' ? { wanted, said: 'live' } : { wanted, said };
    case 'all-stopped':
      return wanted === 'stopped' ? { wanted, said: 'stopped' } : { wanted, said };
  }
};

const stateOf = ({ wanted, said }: Model): PipelineState => {
  if (wanted === 'nothing yet') return 'draft';
  if (wanted === 'stopped') return said === 'stopped' ? 'paused' : 'stopping';
  if (said === 'nothing' || said === 'stopped') return 'building';
  return said === 'live' ? 'live' : 'error';
};

test('agrees with what is wanted and what was said since, for any history', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), (history) => {
      const model = history.reduce(step, { wanted: 'nothing yet', said: 'nothing' });
      expect(after(history)).toBe(stateOf(model));
    }),
    { numRuns: 2000 },
  );
});

test('from anywhere, start leads to live and pause of what was started to paused', () => {
  fc.assert(
    fc.property(anyState, fc.array(anyEvent, { maxLength: 20 }), (from, history) => {
      const somewhere = after(history, from);
      expect(after(['start', 'all-live'], somewhere)).toBe('live');
      if (somewhere !== 'draft') expect(after(['pause', 'all-stopped'], somewhere)).toBe('paused');
    }),
  );
});

test('a draft ends with the first start and never returns', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 20 }), (history) => {
      expect(after(history) === 'draft').toBe(!history.includes('start'));
    }),
  );
});

test('only stopping is shown as another state', () => {
  for (const state of pipelineStates) expect(shownState(state)).toBe(state === 'stopping' ? 'paused' : state);
});
