import { expect, test } from 'vitest';
import { renderPage } from './page.ts';
import type { CopyResult, Run, ToolFacts } from './results.ts';

const tool = (name: string, guarantee: ToolFacts['guarantee']): ToolFacts => ({
  name,
  title: name,
  guarantee,
  maps: true,
  note: 'A note.',
  version: '1',
  failure: null,
});

const copy = (name: string, cpuMicros: number, messagesPerSecond: number, otherLoad: number): CopyResult => ({
  kind: 'copy',
  run: 'now',
  tool: name,
  round: 1,
  measured: { seconds: 1, messagesPerSecond, cpuMicros, brokerCpuMicros: 1, peakMegabytes: 1, startSeconds: 1, startCpuSeconds: 1, otherLoad, stolen: 0 },
  content: { messages: 1, duplicates: 0, missing: 0, outOfOrder: 0, wrongFields: [] },
});

const pageOf = (copies: readonly CopyResult[]): string => {
  const tools = [tool('tributary', 'exactly once'), tool('java', 'at least once'), tool('go', 'at least once')];
  const run: Run = {
    summary: {
      kind: 'run',
      run: 'now',
      complete: true,
      messages: 1,
      bytes: 1,
      rounds: 1,
      kafka: '4',
      machine: { processor: 'p', cores: 2, memoryGigabytes: 1, system: 's' },
      tools,
    },
    copies,
  };
  return renderPage(run);
};

test('states wins and losses against the best peer of each figure', () => {
  const page = pageOf([copy('tributary', 5, 100, 0), copy('java', 10, 150, 0), copy('go', 6, 50, 0)]);
  expect(page).toContain('**Win** in CPU per message: 5.00 µs; the best peer, go (at least once), 6.00 µs: go needs 1.20 times as much.');
  expect(page).toContain('**Loss** in messages per second: 100; the best peer, java (at least once), 150: java is 1.50 times as fast.');
});

test('calls a small difference even', () => {
  expect(pageOf([copy('tributary', 5, 100, 0), copy('java', 5.1, 90, 0)])).toContain('**Even** in CPU per message');
});

test('concludes nothing from disturbed copies', () => {
  const ours = pageOf([copy('tributary', 5, 100, 0.5), copy('java', 10, 150, 0)]);
  expect(ours).toContain('**No verdict** on CPU per message: disturbed were tributary (exactly once) at 50 % other load.');
  const peer = pageOf([copy('tributary', 5, 100, 0), copy('java', 10, 150, 0.5), copy('go', 6, 50, 0)]);
  expect(peer).toContain(
    '**Win** in messages per second: 100; the best peer, go (at least once), 50: tributary is 2.00 times as fast. Not considered, since disturbed: java (at least once) at 50 % other load.',
  );
});
