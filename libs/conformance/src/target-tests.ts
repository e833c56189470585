/** What every target must do: golden streams, checkpoints, fencing, rejected rows, connection tests. */
import { describe, expect } from 'vitest';
import type { Manifest } from '@tributary/connector-sdk/manifest';
import { withRefused, type OpenTargetContext, type Target } from '@tributary/connector-sdk/target';
import type { OpKind, RejectedRow, Slot } from '@tributary/contracts/ops';
import type { Column, Row } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { comparable } from './comparable.ts';
import { goldenStreams } from './golden-streams.ts';
import { callContext, checkpointAt, freshName, freshSlot, idAndNote } from './test-context.ts';
import type { Check, RawConfig, TargetUnderTest } from './under-test.ts';

interface Opening {
  readonly table: string;
  readonly slot: Slot;
  readonly epoch: number;
  readonly columns?: readonly Column[] | null;
  readonly primaryKey?: readonly string[];
  readonly errorTable?: string | null;
  readonly config?: RawConfig;
}

export const describeTarget = (manifest: Manifest, underTest: () => TargetUnderTest, check: Check): void => {
  const role = manifest.target;
  if (role === undefined) return;

  const open = async (opening: Opening): Promise<Target> => {
    const connector = await role.load();
    const context: OpenTargetContext = { ...callContext(), columns: idAndNote, primaryKey: ['id'], errorTable: null, ...opening };
    return connector.open(role.config.parse(opening.config ?? underTest().config), context);
  };
  const named = (about: string): string => {
    const name = freshName(about);
    return underTest().nameOf?.(name) ?? name;
  };
  const readBack = async (table: string, columns: readonly Column[] = idAndNote, primaryKey: readonly string[] = ['id']): Promise<string[]> =>
    comparable(await underTest().readBack(table, columns, primaryKey), columns);
  const originOf = (index: number) => ({ topic: 'orders', partition: 3, offset: `${9000 + index}` });
  const deliver = (target: Target, rows: Row[], offset: string, total: number, more: { rejected?: RejectedRow[]; ops?: OpKind[] } = {}) =>
    target.deliver({
      data: { kind: 'rows', rows, ops: more.ops ?? null, originOf },
      rejected: more.rejected ?? [],
      checkpoint: checkpointAt(offset, total, more.rejected?.length ?? 0),
    });
  const exact = role.fence !== 'none';

  describe('target', () => {
    for (const stream of goldenStreams()) {
      check(`takes the stream "${stream.name}": ${stream.about}`, async (skip) => {
        const lacking = stream.needs.filter((need) => !underTest().supports.includes(need));
        if (lacking.length > 0) skip(`needs ${lacking.join(', ')}`);
        const table = named(stream.name);
        const target = await open({ table, slot: freshSlot(), epoch: 1, columns: stream.columns, primaryKey: stream.primaryKey });
        try {
          await target.claim();
          let total = 0;
          for (const { rows, ops } of stream.deliveries) {
            total += rows.length;
            const allUpserts = ops.every((op) => op === 'upsert');
            const result = await deliver(target, rows, `${total}`, total, allUpserts ? {} : { ops });
            expect(result).toEqual({ checkpoint: checkpointAt(`${total}`, total), refused: [] });
          }
        } finally {
          await target.close();
        }
        expect(await readBack(table, stream.columns, stream.primaryKey)).toEqual(comparable(stream.expected, stream.columns));
      });
    }

    check('takes rows of which nothing is declared', async (skip) => {
      if (!underTest().supports.includes('undeclared')) skip('needs undeclared');
      const table = named('nothing_declared');
      const columns: Column[] = [
        { name: 'name', type: null, nullable: true },
        { name: 'size', type: null, nullable: true },
      ];
      const target = await open({ table, slot: freshSlot(), epoch: 1, columns: null, primaryKey: [] });
      try {
        await target.claim();
        await deliver(target, [{ name: 'a', size: 1 }, { name: 'b' }], '2', 2);
        await deliver(target, [{ size: 3 }], '3', 3);
      } finally {
        await target.close();
      }
      expect(await readBack(table, columns, [])).toEqual(comparable([{ name: 'a', size: 1 }, { name: 'b' }, { size: 3 }], columns));
    });

    check('gives the checkpoint back to the next owner, exactly', async () => {
      const [table, slot] = [named('checkpoint'), freshSlot()];
      const first = await open({ table, slot, epoch: 1 });
      expect(await first.claim()).toEqual({ own: null, others: [] });
      await deliver(first, [{ id: 1, note: 'a' }], '1', 1);
      await deliver(first, [], '17', 1);
      await first.close();
      const second = await open({ table, slot, epoch: 2 });
      expect(await second.claim()).toEqual({ own: checkpointAt('17', 1), others: [] });
      await second.close();
    });

    check('keeps the checkpoints of subscriptions apart', async () => {
      const table = named('apart');
      const one = await open({ table, slot: freshSlot(), epoch: 1 });
      await one.claim();
      await deliver(one, [{ id: 1, note: 'a' }], '1', 1);
      const other = await open({ table, slot: freshSlot(), epoch: 1 });
      expect(await other.claim()).toEqual({ own: null, others: [] });
      await one.close();
      await other.close();
    });

    check('goes on exactly after the last checkpoint', async () => {
      const [table, slot] = [named('goes_on'), freshSlot()];
      const rows = Array.from({ length: 20 }, (_, id) => ({ id, note: `row ${id}` }));
      for (let epoch = 1; epoch <= 4; epoch++) {
        const target = await open({ table, slot, epoch, primaryKey: [] });
        const { own } = await target.claim();
        const from = Number(own?.position['part-0'] ?? 0);
        expect(from).toBe((epoch - 1) * 5);
        await deliver(target, rows.slice(from, from + 3), `${from + 3}`, from + 3);
        await deliver(target, rows.slice(from + 3, from + 5), `${from + 5}`, from + 5);
        await target.close();
      }
      expect(await readBack(table, idAndNote, [])).toEqual(comparable(rows, idAndNote));
    });

    check(
      'a claim fences the older owner, which then writes nothing',
      async (skip) => {
        if (!exact) skip('fence none: at least once');
        const [table, slot] = [named('fenced'), freshSlot()];
        const older = await open({ table, slot, epoch: 1 });
        await older.claim();
        await deliver(older, [{ id: 1, note: 'by the older' }], '1', 1);
        const newer = await open({ table, slot, epoch: 2 });
        expect((await newer.claim()).own).toEqual(checkpointAt('1', 1));
        await expect(deliver(older, [{ id: 2, note: 'too late' }], '2', 2)).rejects.toMatchObject({ code: 'FENCED' });
        await deliver(newer, [{ id: 3, note: 'by the newer' }], '3', 2);
        await expect(deliver(older, [{ id: 4, note: 'still too late' }], '4', 3)).rejects.toMatchObject({ code: 'FENCED' });
        await older.close();
        await newer.close();
        expect(await readBack(table)).toEqual(
          comparable(
            [
              { id: 1, note: 'by the older' },
              { id: 3, note: 'by the newer' },
            ],
            idAndNote,
          ),
        );
      },
      60_000,
    );

    check(
      'refuses a claim that is older than the last',
      async (skip) => {
        if (!exact) skip('fence none: at least once');
        const [table, slot] = [named('old_claim'), freshSlot()];
        const newer = await open({ table, slot, epoch: 5 });
        await newer.claim();
        const older = await open({ table, slot, epoch: 4 });
        await expect(older.claim()).rejects.toMatchObject({ code: 'FENCED' });
        await older.close();
        await deliver(newer, [{ id: 1, note: 'goes on' }], '1', 1);
        await newer.close();
        expect(await readBack(table)).toEqual(comparable([{ id: 1, note: 'goes on' }], idAndNote));
      },
      60_000,
    );

    check(
      'slices laid out anew fence the old layout and see its checkpoints',
      async (skip) => {
        if (!exact) skip('fence none: at least once');
        const [table, slot] = [named('layout'), freshSlot()];
        const whole = await open({ table, slot, epoch: 1 });
        await whole.claim();
        await deliver(whole, [{ id: 1, note: 'whole' }], '1', 1);
        const halves = [];
        for (const slice of [0, 1]) {
          const half = await open({ table, slot: { ...slot, slice, slices: 2 }, epoch: 2 });
          const claimed = await half.claim();
          expect(claimed.own).toBeNull();
          expect(claimed.others).toContainEqual(checkpointAt('1', 1));
          halves.push(half);
        }
        await expect(deliver(whole, [{ id: 2, note: 'too late' }], '2', 2)).rejects.toMatchObject({ code: 'FENCED' });
        for (const [slice, half] of halves.entries()) await deliver(half, [{ id: 10 + slice, note: 'half' }], `${slice}`, 1);
        for (const target of [whole, ...halves]) await target.close();
        expect(await readBack(table)).toEqual(
          comparable(
            [
              { id: 1, note: 'whole' },
              { id: 10, note: 'half' },
              { id: 11, note: 'half' },
            ],
            idAndNote,
          ),
        );
      },
      60_000,
    );

    check(
      'several owners that claim at once all get their slot',
      async () => {
        const [table, slot] = [named('at_once'), freshSlot()];
        const targets = await Promise.all([0, 1, 2, 3].map((slice) => open({ table, slot: { ...slot, slice, slices: 4 }, epoch: 1 })));
        await Promise.all(targets.map((target) => target.claim()));
        await Promise.all(targets.map((target, id) => deliver(target, [{ id, note: 'x' }], '1', 1)));
        await Promise.all(targets.map((target) => target.close()));
        expect(await readBack(table)).toHaveLength(4);
      },
      60_000,
    );

    check('rejected rows land in the error table, once', async () => {
      const [table, errorTable, slot] = [named('data'), named('errors'), freshSlot()];
      const rejected: RejectedRow[] = [
        {
          code: 'CAST_FAILED',
          reason: 'Column "magnitude": "strong" is not a float.',
          payload: '{"magnitude":"strong","note":"tab\\t \\\\ 🚀"}',
          origin: { topic: 'orders', partition: 3, offset: '9182' },
        },
        { code: 'ROW_UNREADABLE', reason: 'Not JSON: it ends early.', payload: '{"half', origin: { topic: 'orders', partition: 3, offset: '9183' } },
      ];
      const first = await open({ table, errorTable, slot, epoch: 1 });
      await first.claim();
      const result = await deliver(first, [{ id: 1, note: 'good' }], '3', 1, { rejected });
      expect(result).toEqual({ checkpoint: checkpointAt('3', 1, 2), refused: [] });
      await first.close();
      const errors = await underTest().readErrors(errorTable);
      expect(sortedErrors(errors)).toEqual(sortedErrors(rejected));
      expect(await readBack(table)).toEqual(comparable([{ id: 1, note: 'good' }], idAndNote));
    });

    check('a row the target refuses lands in the error table, the others in the table', async (skip) => {
      const note = underTest().refusedNote ?? skip('takes every row');
      const [table, errorTable, slot] = [named('refused'), named('refused_errors'), freshSlot()];
      const rows: Row[] = Array.from({ length: 50 }, (_, id) => ({ id, note: id === 20 || id === 37 ? note : `row ${id}` }));
      const target = await open({ table, errorTable, slot, epoch: 1 });
      await target.claim();
      const result = await deliver(target, rows, '50', 50);
      await target.close();
      expect(result.refused.map((row) => row.origin)).toEqual([originOf(20), originOf(37)]);
      expect(result.refused.every((row) => row.code === 'ROW_REFUSED')).toBe(true);
      const before = checkpointAt('50', 50);
      expect(result.checkpoint).toEqual({ ...before, counts: withRefused(before.counts, 2) });
      expect(sortedErrors(await underTest().readErrors(errorTable))).toEqual(sortedErrors(result.refused));
      expect(await readBack(table)).toEqual(
        comparable(
          rows.filter((_, id) => id !== 20 && id !== 37),
          idAndNote,
        ),
      );
      const next = await open({ table, errorTable, slot, epoch: 2 });
      expect((await next.claim()).own).toEqual(result.checkpoint);
      await next.close();
    });

    check('a refused row without an error table ends the slot, and nothing is written', async (skip) => {
      const note = underTest().refusedNote ?? skip('takes every row');
      const [table, slot] = [named('no_errors'), freshSlot()];
      const target = await open({ table, slot, epoch: 1 });
      await target.claim();
      await expect(
        deliver(
          target,
          [
            { id: 1, note: 'good' },
            { id: 2, note },
          ],
          '2',
          2,
        ),
      ).rejects.toMatchObject({ code: 'REJECTS_EXCEEDED' });
      await target.close();
      expect(await readBack(table)).toEqual([]);
    });

    check('a connection test of a good config passes', async () => {
      const steps = await (await role.load()).check(role.config.parse(underTest().config), callContext());
      expect(steps.filter((step) => !step.ok)).toEqual([]);
      expect(steps.length).toBeGreaterThan(0);
    });

    check(
      'a connection test names the step that fails',
      async () => {
        for (const broken of underTest().broken) {
          const connector = await role.load();
          const last = (await connector.check(role.config.parse(broken.config), callContext())).at(-1);
          expect(last, broken.why).toMatchObject({ name: broken.step, ok: false });
          if (broken.says !== undefined) expect(last?.message, broken.why).toContain(broken.says);
        }
      },
      60_000,
    );

    check(
      'what a broken config throws is an error of ours',
      async () => {
        for (const broken of underTest().broken) {
          const failure = await open({ config: broken.config, table: named('broken'), slot: freshSlot(), epoch: 1 })
            .then((target) => target.claim())
            .catch((error: unknown) => error);
          expect(failure, broken.why).toBeInstanceOf(TributaryError);
          expect(failure, broken.why).not.toMatchObject({ code: 'INTERNAL' });
        }
      },
      60_000,
    );
  });
};

const sortedErrors = (rows: readonly { code: string; reason: string; payload: string; origin: Readonly<Record<string, unknown>> }[]): string[] =>
  rows.map((row) => JSON.stringify([row.code, row.reason, row.payload, Object.entries(row.origin).sort(([one], [other]) => (one < other ? -1 : 1))])).sort();
