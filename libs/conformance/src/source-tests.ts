/** What every source must do: give all rows, resume from any checkpoint with exactly the rest, end or idle, heed an abort, test its connection. */
import { describe, expect } from 'vitest';
import type { Manifest } from '@tributary/connector-sdk/manifest';
import type { OpenSourceContext, Source } from '@tributary/connector-sdk/source';
import type { Position } from '@tributary/contracts/ops';
import type { Column, Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { comparableRow } from './comparable.ts';
import { callContext, freshName } from './test-context.ts';
import type { Check, RawConfig, SourceUnderTest } from './under-test.ts';

const columns: readonly Column[] = [
  { name: 'id', type: { kind: 'LONG' }, nullable: false },
  { name: 'name', type: { kind: 'STRING' }, nullable: true },
  { name: 'amount', type: { kind: 'DECIMAL', precision: 30, scale: 10 }, nullable: true },
  { name: 'at', type: { kind: 'UTC_DATETIME' }, nullable: false },
];
const primaryKey = ['id'];

/** Three rows share each instant; instants differ by microseconds, ids are beyond 2^53. */
const rowOf = (index: number): Row => ({
  id: 9_007_199_254_740_993n + BigInt(index),
  name: index % 5 === 0 ? null : (['plain', 'tab\tnewline\nback\\slash', 'ünï 🚀 "quoted"', '\\N'][index % 4] ?? null),
  amount: index % 7 === 0 ? null : `${index}.0000000001`,
  at: `2024-03-01T12:00:00.${String(123_456 + Math.floor(index / 3)).padStart(6, '0')}Z`,
});
const rowsFrom = (first: number, count: number): Row[] => Array.from({ length: count }, (_, index) => rowOf(first + index));

interface Opening {
  readonly config: RawConfig;
  readonly stream: string | null;
  readonly mode?: 'continuous' | 'once';
  readonly backfill?: boolean;
}

interface Piece {
  readonly rows: string[];
  readonly position: Position;
}

export const describeSource = (manifest: Manifest, underTest: () => SourceUnderTest, check: Check): void => {
  const role = manifest.source;
  if (role === undefined) return;
  const { continuous } = role.capabilities;

  const open = async ({ config, ...opening }: Opening): Promise<Source> => {
    const connector = await role.load();
    const context: OpenSourceContext = {
      ...callContext(),
      consumerId: freshName('consumer'),
      slice: 0,
      slices: 1,
      mode: 'once',
      backfill: true,
      startedAt: new Date(),
      ...opening,
    };
    return connector.open(role.config.parse(config), context);
  };
  const using = async <Result>(opening: Opening, work: (source: Source) => Promise<Result>): Promise<Result> => {
    const source = await open(opening);
    try {
      return await work(source);
    } finally {
      await source.close();
    }
  };
  const seeded = async (about: string, count: number) => {
    const name = freshName(about);
    return { name, opening: await underTest().seed(name, rowsFrom(0, count), columns, primaryKey) };
  };
  const textOf = (row: Row): string => comparableRow(underTest().unwrap?.(row, columns) ?? row, columns);
  const expectedTexts = (first: number, count: number): string[] => rowsFrom(first, count).map((row) => comparableRow(row, columns));

  /** Reads until the end, or until `enough` rows came. */
  const readOn = async (source: Source, from: Position, maxRows: number, enough = Number.POSITIVE_INFINITY): Promise<Piece[]> => {
    const reader = source.read(from, { format: 'rows', maxRows, maxBytes: 1 << 20 });
    const pieces: Piece[] = [];
    const { signal } = callContext();
    let seen = 0;
    while (seen < enough) {
      const batch = await reader.next(signal);
      if (batch === 'end') return pieces;
      if (batch === 'idle') continue;
      if (batch.kind !== 'rows') throw new Error('The source gave encoded bytes though rows were asked for.');
      expect(batch.rows.length).toBeLessThanOrEqual(maxRows);
      expect(batch.unreadable).toEqual([]);
      expect(JSON.parse(JSON.stringify(batch.position))).toEqual(batch.position);
      pieces.push({ rows: batch.rows.map(textOf), position: batch.position });
      seen += batch.rows.length;
    }
    return pieces;
  };
  const texts = (pieces: readonly Piece[]): string[] => pieces.flatMap((piece) => piece.rows);

  describe('source', () => {
    check('gives every row, then ends', async () => {
      const { opening } = await seeded('all', 50);
      await using(opening, async (source) => {
        const pieces = await readOn(source, await source.firstPosition(), 7);
        expect(texts(pieces)).toEqual(expectedTexts(0, 50));
      });
    });

    check('ends at once on an empty stream', async () => {
      const { opening } = await seeded('empty', 0);
      await using(opening, async (source) => expect(texts(await readOn(source, await source.firstPosition(), 7))).toEqual([]));
    });

    check(
      'resumes from every checkpoint with exactly the rest',
      async () => {
        const { opening } = await seeded('resume', 40);
        const { start, pieces } = await using(opening, async (source) => {
          const from = await source.firstPosition();
          return { start: from, pieces: await readOn(source, from, 4) };
        });
        const all = texts(pieces);
        expect(all).toEqual(expectedTexts(0, 40));
        let before = 0;
        for (const piece of [{ rows: [], position: start }, ...pieces]) {
          before += piece.rows.length;
          const rest = await using(opening, async (source) => texts(await readOn(source, piece.position, 4)));
          expect(rest).toEqual(all.slice(before));
        }
      },
      120_000,
    );

    check('what its schema says is what it gives', async () => {
      const { opening } = await seeded('schema', 10);
      await using(opening, async (source) => {
        const schema = await source.schema();
        if (schema?.columns == null) return;
        const kinds = new Map(schema.columns.map((column) => [column.name, column.type?.kind]));
        const batch = await source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 }).next(callContext().signal);
        if (batch === 'end' || batch === 'idle' || batch.kind !== 'rows') throw new Error('No rows came.');
        for (const name of batch.rows.flatMap((row) => Object.keys(row))) expect(kinds.has(name), name).toBe(true);
        expect(batch.originOf(0)).not.toEqual({});
        expect(batch.bytes).toBeGreaterThan(0);
      });
    });

    check('the furthest of several positions is the last', async () => {
      const { opening } = await seeded('merge', 20);
      await using(opening, async (source) => {
        const from = await source.firstPosition();
        const pieces = await readOn(source, from, 3);
        const positions = [from, ...pieces.map((piece) => piece.position)];
        const merged = source.mergePositions([...positions.slice(3), ...positions.slice(0, 3)]);
        await using(opening, async (again) => expect(texts(await readOn(again, merged, 100))).toEqual([]));
      });
    });

    check('heeds an abort', async () => {
      const { opening } = await seeded('abort', 5);
      await using({ ...opening, mode: continuous ? 'continuous' : 'once' }, async (source) => {
        const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
        const abort = new AbortController();
        setTimeout(() => abort.abort(new TributaryError('FENCED', 'Given up by the test.')), 300);
        const readForEver = async (): Promise<void> => {
          for (;;) if ((await reader.next(abort.signal)) === 'end') await reader.next(AbortSignal.abort(new TributaryError('FENCED', 'Given up by the test.')));
        };
        await expect(readForEver()).rejects.toMatchObject({ code: 'FENCED' });
      });
    });

    check(
      'goes on with rows that come later',
      async (skip) => {
        if (!continuous) skip('not continuous');
        const { name, opening } = await seeded('later', 10);
        await using({ ...opening, mode: 'continuous' }, async (source) => {
          const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
          const { signal } = callContext();
          const seen: string[] = [];
          const until = async (count: number): Promise<void> => {
            while (seen.length < count) {
              const batch = await reader.next(signal);
              if (batch === 'end') throw new Error('The source ended though it was to go on.');
              if (batch !== 'idle' && batch.kind === 'rows') seen.push(...batch.rows.map(textOf));
            }
          };
          await until(10);
          await underTest().append?.(name, rowsFrom(10, 1), columns);
          await until(11);
          await underTest().append?.(name, rowsFrom(11, 14), columns);
          await until(25);
          expect(seen).toEqual(expectedTexts(0, 25));
        });
      },
      60_000,
    );

    check('idles when there is nothing new', async (skip) => {
      if (!continuous) skip('not continuous');
      const { opening } = await seeded('idle', 3);
      await using({ ...opening, mode: 'continuous' }, async (source) => {
        const reader = source.read(await source.firstPosition(), { format: 'rows', maxRows: 100, maxBytes: 1 << 20 });
        let answer = await reader.next(callContext().signal);
        while (answer !== 'idle') {
          expect(answer).not.toBe('end');
          answer = await reader.next(callContext().signal);
        }
      });
    });

    check('without a backfill it begins now', async (skip) => {
      if (!continuous) skip('not continuous');
      const { name, opening } = await seeded('now', 10);
      const from = await using({ ...opening, backfill: false }, (source) => source.firstPosition());
      await underTest().append?.(name, rowsFrom(10, 8), columns);
      await using({ ...opening, backfill: false }, async (source) => expect(texts(await readOn(source, from, 3))).toEqual(expectedTexts(10, 8)));
    });

    check('lists the stream and samples it', async () => {
      const { opening } = await seeded('sample', 30);
      const connector = await role.load();
      const config = role.config.parse(opening.config);
      const streams = await connector.streams(config, callContext());
      expect(streams.length).toBeGreaterThan(0);
      if (opening.stream !== null) expect(streams.map((stream) => stream.name)).toContain(opening.stream);
      const sample = await connector.sample(config, { ...callContext(), stream: opening.stream, limit: 5 });
      expect(sample).toHaveLength(5);
      const all = new Set(expectedTexts(0, 30));
      for (const row of sample) expect(all).toContain(textOf(row));
    });

    check(
      'a missing stream is named',
      async (skip) => {
        const { opening } = await seeded('missing', 1);
        if (opening.stream === null) skip('has no streams');
        const failure = await using({ ...opening, stream: `${opening.stream}_missing` }, async (source) =>
          readOn(source, await source.firstPosition(), 10, 1),
        ).catch((error: unknown) => error);
        expect(failure).toMatchObject({ code: 'STREAM_NOT_FOUND' });
        expect(String(failure)).toContain(`${opening.stream}_missing`);
      },
      60_000,
    );

    check('a connection test of a good config passes', async () => {
      const { opening } = await seeded('check', 1);
      const steps = await (await role.load()).check(role.config.parse(opening.config), callContext());
      expect(steps.filter((step) => !step.ok)).toEqual([]);
      expect(steps.length).toBeGreaterThan(0);
    });

    check(
      'a connection test names the step that fails',
      async () => {
        for (const broken of underTest().broken) {
          const last = (await (await role.load()).check(role.config.parse(broken.config), callContext())).at(-1);
          expect(last, broken.why).toMatchObject({ name: broken.step, ok: false });
          if (broken.says !== undefined) expect(last?.message, broken.why).toContain(broken.says);
        }
      },
      60_000,
    );
  });
};
