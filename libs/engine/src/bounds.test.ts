import { describe, expect, test, vi } from 'vitest';
import { createAccumulator } from './accumulate.ts';
import { createCredits } from './credits.ts';
import { createLatencyWindow } from './latency.ts';
import { compileMapper } from './mapper/compile.ts';
import { negotiate } from './negotiate.ts';
import { startWatchdog } from './watchdog.ts';

describe('credits', () => {
  test('are refused beyond the budget and come back', () => {
    const credits = createCredits(100);
    expect([credits.take(60), credits.take(60), credits.take(40), credits.held]).toEqual([true, false, true, 100]);
    credits.give(60);
    expect([credits.take(60), credits.held]).toEqual([true, 100]);
  });

  test('let one batch beyond the budget pass, alone', () => {
    const credits = createCredits(100);
    expect([credits.take(500), credits.take(1)]).toEqual([true, false]);
    credits.give(500);
    expect(credits.take(1)).toBe(true);
  });

  test('count what was read, not what was expected', () => {
    const credits = createCredits(100);
    credits.take(50);
    credits.settle(50, 10);
    expect([credits.held, credits.fits(90), credits.fits(91)]).toEqual([10, true, false]);
  });
});

describe('negotiation', () => {
  test.each([
    [['ndjson', 'csv'], ['csv', 'ndjson'], true, 'csv'],
    [['ndjson'], ['csv'], true, 'rows'],
    [[], [], true, 'rows'],
    [['ndjson'], ['ndjson'], false, 'rows'],
  ] as const)('%j and %j, untouched %s: %s', (source, target, untouched, expected) => {
    expect(negotiate(source, target, untouched)).toBe(expected);
  });
});

describe('latency', () => {
  test('percentiles are at most 5 % too high, and weigh by records', () => {
    const latency = createLatencyWindow();
    expect(latency.percentiles()).toBeNull();
    for (let milliseconds = 1; milliseconds <= 1000; milliseconds += 1) latency.add({ milliseconds, records: 3 });
    const { p50, p95, p99 } = latency.percentiles() ?? { p50: 0, p95: 0, p99: 0 };
    for (const [given, exact] of [
      [p50, 500],
      [p95, 950],
      [p99, 990],
    ] as const) {
      expect(given).toBeGreaterThanOrEqual(exact);
      expect(given).toBeLessThanOrEqual(exact * 1.06);
    }
    latency.add({ milliseconds: 1e12, records: 1e6 });
    latency.add({ milliseconds: 0, records: 0 });
    expect(latency.percentiles()?.p50).toBeGreaterThan(8e8 / 2);
    latency.reset();
    expect(latency.percentiles()).toBeNull();
  });
});

describe('watchdog', () => {
  test('speaks up once when nothing progresses while there is work, never when idle', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const stuck: string[] = [];
    let waitingFor: string | null = null;
    const watchdog = startWatchdog({ noProgressMs: 1000, busy: () => waitingFor, onStuck: ({ code, message }) => stuck.push(`${code}: ${message}`) });
    vi.advanceTimersByTime(5000);
    waitingFor = 'the target';
    vi.advanceTimersByTime(800);
    watchdog.progress();
    vi.advanceTimersByTime(800);
    expect(stuck).toEqual([]);
    vi.advanceTimersByTime(5000);
    expect(stuck).toEqual(['NO_PROGRESS: Nothing moved for 1 s while waiting for the target.']);
    watchdog.stop();
    vi.useRealTimers();
  });
});

describe('what is gathered', () => {
  const batch = (rows: Record<string, never>[] | object[], part: string, ops?: ('upsert' | 'delete')[]) => ({
    kind: 'rows' as const,
    rows: rows as Record<string, number>[],
    ops,
    originOf: (index: number) => ({ part, index }),
    unreadable: [],
    position: { [part]: String(rows.length) },
    bytes: 10,
    newestAt: null,
  });

  test('knows where each row came from, across batches, spread and rejected records', () => {
    const gathered = createAccumulator(compileMapper([{ key: 'n', path: '$.n[*]', cast: 'int' }]));
    gathered.add(batch([{ n: [1, 2] }, { n: ['x'] }, { n: [] }, { n: [3] }], 'a'));
    gathered.add(batch([{ n: [4] }], 'b'));
    const { data, rejected, counts, position } = gathered.take();
    if (data.kind !== 'rows') throw new Error('rows');
    expect(data.rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
    expect([0, 1, 2, 3].map(data.originOf)).toEqual([
      { part: 'a', index: 0 },
      { part: 'a', index: 0 },
      { part: 'a', index: 3 },
      { part: 'b', index: 0 },
    ]);
    expect(rejected).toEqual([
      { code: 'CAST_FAILED', reason: 'Column "n": "x" is not a 64-bit int.', payload: '{"n":["x"]}', origin: { part: 'a', index: 1 } },
    ]);
    expect(counts).toEqual({ read: 5, mapped: 3, filtered: 1, rejected: 1, emitted: 4, written: 4, refused: 0, bytes: 20 });
    expect(position).toEqual({ b: '1' });
    expect(gathered.batches).toBe(0);
  });

  test('keeps each row with its op, whichever batch had any', () => {
    const keyed = compileMapper([
      { key: 'id', path: '$.id[*]', primary_key: true },
      { key: 'v', static: 1 },
    ]);
    for (const [mapper, rows] of [
      [keyed, [{ id: 1, v: 1 }, { id: 2 }, { id: 3 }, { id: 4, v: 1 }, { id: 5, v: 1 }]],
      [null, [{ id: [1] }, { id: [2, 3] }, { id: [4] }, { id: [5] }]],
    ] as const) {
      const gathered = createAccumulator(mapper);
      gathered.add(batch([{ id: [1] }], 'a'));
      gathered.add(batch([{ id: [2, 3] }, { id: [4] }], 'a', ['delete', 'upsert']));
      gathered.add(batch([{ id: [5] }], 'a'));
      const { data } = gathered.take();
      if (data.kind !== 'rows') throw new Error('rows');
      expect(data.rows).toEqual(rows);
      expect(data.ops).toEqual(mapper === null ? ['upsert', 'delete', 'upsert', 'upsert'] : ['upsert', 'delete', 'delete', 'upsert', 'upsert']);
    }
  });

  test('cuts the payload of a rejected row at 64 KiB', () => {
    const gathered = createAccumulator(compileMapper([{ key: 'n', path: '$.n', cast: 'int' }]));
    gathered.add(batch([{ n: 'ü'.repeat(50_000) }], 'a'));
    const [row] = gathered.take().rejected;
    expect(Buffer.byteLength(row?.payload ?? '')).toBeLessThanOrEqual(65_536);
    expect(row?.payload.endsWith('ü')).toBe(true);
  });

  test('never mixes rows and encoded bytes', () => {
    const gathered = createAccumulator(null);
    gathered.add(batch([{ n: 1 }], 'a'));
    expect(() => gathered.add({ kind: 'encoded', format: 'csv', payload: [], count: 0, position: {}, bytes: 0, newestAt: null })).toThrow('one reader');
  });
});
