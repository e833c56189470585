import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addCounts, balances, noCounts, type Checkpoint, type Counts } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { compileMapper } from './mapper/compile.ts';
import { createDatabase, databaseTarget, free, logSource, type Database, type LogSource, type Step } from './run-slot.fixture.ts';
import { runSlot, type Committed, type SlotOptions } from './run-slot.ts';

const quietLog = { debug: () => {}, info: () => {}, warn: () => {} };
const slotOf = (slice = 0, slices = 1) => ({ pipelineId: 'p', subscriptionId: 's', slice, slices });
const numbers = (from: number, to: number): Row[] => Array.from({ length: to - from }, (_, i) => ({ n: from + i }));
const sorted = (database: Database): unknown[] => database.rows.map((row) => row['n']).toSorted((a, b) => Number(a) - Number(b));

const optionsFor = (source: LogSource, database: Database, more: Partial<SlotOptions> & { epoch?: number; step?: Step } = {}): SlotOptions => {
  const slot = more.slot ?? slotOf();
  return {
    slot,
    source,
    target: databaseTarget(database, slot, more.epoch ?? 1, more.step),
    mapper: null,
    read: { maxRows: 3, maxBytes: 300 },
    creditBytes: 900,
    onRejected: 'table',
    stop: new AbortController().signal,
    abort: new AbortController().signal,
    noProgressMs: 10_000,
    log: quietLog,
    ...more,
  };
};

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof TributaryError ? `${error.code}: ${error.message}` : String(error);
};

describe('order', () => {
  test('commits the first position before it reads', async () => {
    const steps: string[] = [];
    const step: Step = (name) => {
      steps.push(name);
      return free(name);
    };
    const database = createDatabase();
    const outcome = await runSlot(optionsFor(logSource({ a: numbers(0, 3) }, { step, from: { a: '1' } }), database, { step }));
    expect(steps.slice(0, 6)).toEqual(['claim', 'claimed', 'firstPosition', 'deliver', 'delivered', 'next']);
    expect(database.deliveries[0]?.checkpoint).toEqual({ position: { a: '1' }, counts: noCounts });
    expect(sorted(database)).toEqual([1, 2]);
    expect(outcome).toMatchObject({ outcome: 'finished', settled: true, checkpoint: { position: { a: '3' }, counts: { read: 2, written: 2 } } });
  });

  test('keeps the order of the source, one delivery in flight while the next is read', async () => {
    const database = createDatabase();
    const readDuringCommit: number[] = [];
    const source = logSource({ a: numbers(0, 60) });
    const step: Step = async (name) => {
      if (name !== 'deliver') return;
      const before = source.bytes;
      await new Promise((resolve) => setTimeout(resolve, 10));
      readDuringCommit.push(source.bytes - before);
    };
    await runSlot(optionsFor(source, database, { step, delivery: { maxRows: 6 } }));
    expect(database.rows).toEqual(numbers(0, 60));
    expect(database.mostInFlight).toBe(1);
    expect(Math.max(...readDuringCommit)).toBeGreaterThan(0);
  });

  test('tells the source of durable positions only, the last one included', async () => {
    const database = createDatabase();
    const source = logSource({ a: numbers(0, 30) });
    await runSlot(optionsFor(source, database));
    expect(source.told.at(-1)).toEqual({ a: '30' });
  });

  test('goes on although the source cannot take note', async () => {
    const step: Step = (name) => (name === 'committed' ? Promise.reject(new Error('no coordinator')) : free(name));
    const database = createDatabase();
    await runSlot(optionsFor(logSource({ a: numbers(0, 9) }, { step }), database));
    expect(sorted(database)).toHaveLength(9);
  });

  test('passes encoded batches through untouched where both sides share a format', async () => {
    const database = createDatabase();
    const line = Buffer.from('{"n":1}\n');
    let given = 0;
    const source: LogSource = {
      ...logSource({}),
      formats: ['csv', 'ndjson'],
      read: (_from, { format }) => ({
        next: () => {
          if (format !== 'ndjson') throw new Error(format);
          given += 1;
          return Promise.resolve(
            given > 2 ? 'end' : { kind: 'encoded', format, payload: [line], count: 1, position: { a: String(given) }, bytes: line.length, newestAt: null },
          );
        },
      }),
    };
    const options = optionsFor(source, database);
    const outcome = await runSlot({ ...options, target: { ...options.target, formats: ['ndjson'] } });
    const data = database.deliveries[1]?.data;
    expect(data?.kind === 'encoded' && data.batches[0]?.payload[0]).toBe(line);
    expect(outcome.checkpoint?.counts).toMatchObject({ read: 2, mapped: 2, emitted: 2, written: 2, bytes: 16 });
  });
});

describe('memory', () => {
  test('holds no more bytes than the credits allow, however slow the target is', async () => {
    const database = createDatabase();
    const source = logSource({ a: numbers(0, 200) });
    let committed = 0;
    let most = 0;
    const step: Step = async (name) => {
      most = Math.max(most, source.bytes - committed);
      if (name === 'deliver') await new Promise((resolve) => setTimeout(resolve, 3));
      most = Math.max(most, source.bytes - committed);
    };
    await runSlot(optionsFor(source, database, { step, creditBytes: 900, onCommit: ({ bytes }) => (committed += bytes) }));
    expect(most).toBeGreaterThan(300);
    expect(most).toBeLessThanOrEqual(900);
    expect(sorted(database)).toHaveLength(200);
  });

  test('lets a batch beyond the budget pass, alone', async () => {
    const database = createDatabase();
    const source = logSource({ a: numbers(0, 20) }, { bytesPerRow: 5000 });
    await runSlot(optionsFor(source, database));
    expect(database.deliveries.slice(1).every(({ data }) => data.kind === 'rows' && data.rows.length <= 3)).toBe(true);
    expect(sorted(database)).toHaveLength(20);
  });
});

describe('pause and abort', () => {
  test('stops while the source waits, with everything committed', async () => {
    const database = createDatabase();
    const stop = new AbortController();
    const run = runSlot(
      optionsFor(logSource({ a: numbers(0, 10) }, { mode: 'continuous' }), database, {
        stop: stop.signal,
        onCommit: ({ checkpoint }) => checkpoint.counts.read === 10 && stop.abort(),
      }),
    );
    const started = performance.now();
    expect(await run).toMatchObject({ outcome: 'stopped', settled: true, checkpoint: { position: { a: '10' } } });
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('commits what is mapped before it returns, and what it left comes after the next claim', async () => {
    const database = createDatabase();
    const stop = new AbortController();
    const step: Step = (name) => {
      if (name === 'next' && database.rows.length > 20) stop.abort();
      return free(name);
    };
    const parts = { a: numbers(0, 100) };
    const outcome = await runSlot(optionsFor(logSource(parts, { step }), database, { stop: stop.signal }));
    expect(outcome.outcome).toBe('stopped');
    expect(database.rows).toEqual(numbers(0, Number(outcome.checkpoint?.position['a'])));
    await runSlot(optionsFor(logSource(parts), database, { epoch: 2 }));
    expect(database.rows).toEqual(numbers(0, 100));
  });

  test('does not wait longer than allowed for a slow target', async () => {
    const database = createDatabase();
    const stop = new AbortController();
    let release = (): void => {};
    const step: Step = (name) => {
      if (name !== 'deliver' || database.deliveries.length === 0) return free(name);
      stop.abort();
      return new Promise((resolve) => (release = resolve));
    };
    const parts = { a: numbers(0, 9) };
    const outcome = await runSlot(optionsFor(logSource(parts), database, { step, stop: stop.signal, stopWithinMs: 50 }));
    expect(outcome).toMatchObject({ outcome: 'stopped', settled: false, checkpoint: { position: { a: '0' } } });
    const heir = runSlot(optionsFor(logSource(parts), database, { epoch: 2 }));
    await heir;
    release();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(database.rows).toEqual(parts.a);
  });

  test('stops before it is live', async () => {
    const database = createDatabase();
    const stop = new AbortController();
    const step: Step = () => (stop.abort(), new Promise<void>(() => {}));
    expect(await runSlot(optionsFor(logSource({}), database, { step, stop: stop.signal }))).toEqual({ outcome: 'stopped', checkpoint: null, settled: true });
  });

  test('writes nothing more once the lease is lost', async () => {
    const database = createDatabase();
    const abort = new AbortController();
    const step: Step = (name) => {
      if (name === 'next' && database.deliveries.length === 3) abort.abort();
      return free(name);
    };
    const run = runSlot(optionsFor(logSource({ a: numbers(0, 100) }, { step }), database, { abort: abort.signal }));
    expect(await codeOf(run)).toMatch(/^FENCED: The lease of slot s-1-0 is lost/);
    const written = database.deliveries.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
    // The one that was in flight may still get through: the target's epoch decides that.
    expect(database.deliveries.length).toBeLessThanOrEqual(Math.max(written, 4));
  });

  test('saves no first position for a lease that was lost during the claim', async () => {
    const database = createDatabase();
    const abort = new AbortController();
    const step: Step = async (name) => {
      if (name === 'claimed') abort.abort();
      await free(name);
    };
    expect(await codeOf(runSlot(optionsFor(logSource({ a: numbers(0, 1) }), database, { step, abort: abort.signal })))).toMatch(/^FENCED/);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(database.deliveries).toEqual([]);
  });

  test('ends a run whose target never answers', async () => {
    const step: Step = (name) => (name === 'deliver' ? new Promise(() => {}) : free(name));
    expect(await codeOf(runSlot(optionsFor(logSource({ a: numbers(0, 1) }), createDatabase(), { step, noProgressMs: 60 })))).toMatch(/^NO_PROGRESS/);
  });

  test('leaves an idle source alone', async () => {
    const stop = new AbortController();
    const run = runSlot(optionsFor(logSource({ a: numbers(0, 1) }, { mode: 'continuous' }), createDatabase(), { noProgressMs: 60, stop: stop.signal }));
    setTimeout(() => stop.abort(), 300);
    expect(await run).toMatchObject({ outcome: 'stopped' });
  });
});

describe('timing', () => {
  test('commits at once when the source is idle, and reports latency', async () => {
    const stop = new AbortController();
    const commits: Committed[] = [];
    const started = performance.now();
    const source = logSource({ a: numbers(0, 1) }, { mode: 'continuous', newestAt: Date.now() - 40 });
    await runSlot(optionsFor(source, createDatabase(), { stop: stop.signal, onCommit: (commit) => (commits.push(commit), stop.abort()) }));
    expect(performance.now() - started).toBeLessThan(150);
    expect(commits[0]?.latencies).toHaveLength(1);
    expect(commits[0]?.latencies[0]?.milliseconds).toBeGreaterThanOrEqual(40);
  });

  test('lingers while the source keeps giving', async () => {
    const database = createDatabase();
    const step: Step = () => new Promise((resolve) => setTimeout(resolve, 4));
    await runSlot(optionsFor(logSource({ a: numbers(0, 90) }, { step }), database, { creditBytes: 1e9 }));
    expect(database.deliveries.length).toBeLessThan(6);
  });
});

describe('rejected rows', () => {
  const mapper = compileMapper([{ key: 'n', path: '$.n', cast: 'int', nullable: false }]);
  const mixed: Row[] = [{ n: 0 }, { n: 'one' }, { n: 2, unreadable: true }, { n: 3 }, {}, { n: 5 }];

  test('go to the error table in the same delivery, and the counts balance', async () => {
    const database = createDatabase();
    const outcome = await runSlot(optionsFor(logSource({ a: mixed }), database, { mapper }));
    expect(sorted(database)).toEqual([0, 3, 5]);
    expect(database.rejected).toEqual(['No JSON.', 'Column "n": "one" is not a 64-bit int.', 'Column "n" must have a value, but there is none at $.n.']);
    expect(outcome.checkpoint?.counts).toMatchObject({ read: 6, mapped: 3, filtered: 0, rejected: 3, emitted: 3, written: 3, refused: 0 });
  });

  test('end the slot before they are passed over, without an error table', async () => {
    const database = createDatabase();
    const run = runSlot(optionsFor(logSource({ a: [...numbers(0, 30), ...mixed] }), database, { mapper, onRejected: 'stop' }));
    expect(await codeOf(run)).toBe('REJECTS_EXCEEDED: A row was rejected and there is no error table: No JSON. It is at {"part":"a"}.');
    expect(Number(database.checkpoints.get('1-0')?.checkpoint?.position['a'])).toBeLessThanOrEqual(30);
  });

  test('end the run when they are too many', async () => {
    const bad = Array.from({ length: 50 }, () => ({ n: 'x' }));
    expect(await codeOf(runSlot(optionsFor(logSource({ a: bad }), createDatabase(), { mapper, mostRejected: 20 })))).toMatch(/^REJECTS_EXCEEDED: More than 20/);
  });

  test('of the target move from written to refused', async () => {
    const database = createDatabase();
    const rows: Row[] = [{ n: 0 }, { n: 1, refuse: true }, { n: 2 }];
    const outcome = await runSlot(optionsFor(logSource({ a: rows }), database));
    expect(outcome.checkpoint?.counts).toMatchObject({ read: 3, emitted: 3, written: 2, refused: 1 });
  });
});

describe('errors', () => {
  test('of the source are thrown untouched, after what was in hand is committed', async () => {
    const database = createDatabase();
    const lost = new TributaryError('POSITION_LOST', 'Gone.');
    let calls = 0;
    const step: Step = (name) => (name === 'next' && ++calls === 5 ? Promise.reject(lost) : free(name));
    await expect(runSlot(optionsFor(logSource({ a: numbers(0, 100) }, { step }), database))).rejects.toBe(lost);
    expect(database.rows).toEqual(numbers(0, 12));
  });

  test('a target that reports other counts than it was given is not believed', async () => {
    const options = optionsFor(logSource({ a: numbers(0, 3) }), createDatabase());
    const target: SlotOptions['target'] = {
      ...options.target,
      deliver: async (delivery) => {
        const result = await options.target.deliver(delivery);
        return { ...result, checkpoint: { ...result.checkpoint, counts: { ...result.checkpoint.counts, written: result.checkpoint.counts.written - 1 } } };
      },
    };
    expect(await codeOf(runSlot({ ...options, target }))).toMatch(/^INTERNAL: The counts of slot s-1-0 do not balance/);
  });
});

describe('exactly once', () => {
  const parts = { a: numbers(0, 17), b: numbers(100, 111), c: numbers(200, 205) };
  const expected = [...parts.a, ...parts.b, ...parts.c].map((row) => row['n']);
  const mapper = compileMapper([{ key: 'n', path: '$.n', cast: 'int', primary_key: true }]);

  const totals = (database: Database): Counts =>
    [...database.checkpoints.values()]
      .map(({ checkpoint }) => checkpoint)
      .reduce((sum, checkpoint: Checkpoint | null) => addCounts(sum, checkpoint?.counts ?? noCounts), noCounts);

  test('a crash at any step loses and doubles nothing', async () => {
    let crashed = true;
    for (let at = 1; crashed; at += 1) {
      const database = createDatabase();
      let epoch = 0;
      crashed = false;
      for (let finished = false; !finished;) {
        epoch += 1;
        let steps = 0;
        const step: Step = async (name) => {
          await free(name);
          steps += 1;
          if (epoch === 1 && steps === at) {
            crashed = true;
            throw new Error(`crash at ${name}`);
          }
        };
        const run = runSlot(optionsFor(logSource(parts, { step }), database, { epoch, step, mapper, delivery: { maxRows: 6 } }));
        finished = await run.then(
          () => true,
          () => false,
        );
      }
      expect(sorted(database), `crash at step ${at}`).toEqual(expected);
      expect(totals(database)).toMatchObject({ read: 33, mapped: 33, emitted: 33, written: 33 });
    }
  });

  test('crashes, zombies and new layouts of slices lose and double nothing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ slices: fc.integer({ min: 1, max: 3 }), crashAfter: fc.integer({ min: 1, max: 25 }), perBatch: fc.integer({ min: 1, max: 7 }) }), {
          maxLength: 6,
        }),
        async (attempts) => {
          const database = createDatabase();
          let epoch = 0;
          const zombies: Promise<unknown>[] = [];
          for (const { slices, crashAfter, perBatch } of [...attempts, { slices: 2, crashAfter: Infinity, perBatch: 3 }]) {
            epoch += 1;
            const abort = new AbortController();
            let steps = 0;
            const step: Step = async (name) => {
              await free(name);
              steps += 1;
              // The lease is lost in the middle; what is in flight goes on behind the back of the next owner.
              if (steps === crashAfter) abort.abort();
            };
            const runs = Array.from({ length: slices }, (_, slice) =>
              runSlot(
                optionsFor(logSource(parts, { slice, slices, perBatch, step }), database, {
                  slot: slotOf(slice, slices),
                  epoch,
                  step,
                  mapper,
                  abort: abort.signal,
                  delivery: { maxRows: 5 },
                }),
              ),
            );
            const settled = Promise.allSettled(runs);
            zombies.push(settled);
            if (crashAfter === Infinity) expect((await settled).map(({ status }) => status)).toEqual(runs.map(() => 'fulfilled'));
            else await Promise.race([settled, new Promise((resolve) => abort.signal.addEventListener('abort', resolve))]);
          }
          await Promise.all(zombies);
          expect(sorted(database)).toEqual(expected);
          expect(balances(totals(database))).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});
