import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlatform, type Platform } from '@tributary/devstack/platform';
import { killWorkers } from './kill-workers.ts';

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform({ workers: 2 });
});
afterAll(() => platform?.stop());

test('workers killed with SIGKILL mid-stream, and one woken as a zombie, lose and double nothing', { timeout: 300_000 }, async () => {
  const report = await killWorkers({ platform, kills: 5, zombieEvery: 5, messagesPerSecond: 1000, log: () => undefined });
  for (const { lost, doubled, foreign, arrived, produced, balanced } of report.comparisons) {
    expect({ lost, doubled, foreign, balanced, arrived }).toEqual({ lost: 0, doubled: 0, foreign: 0, balanced: true, arrived: produced });
  }
  // A dead worker's slots run elsewhere within 30 s.
  expect(report.recoveries.at(-1)).toBeLessThan(30_000);
});
