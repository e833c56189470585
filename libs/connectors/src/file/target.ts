/**
 * Writes each table as a folder of immutable part files, which count once a manifest lists them (see manifests.ts for chain and fencing).
 * With a primary key all changes are appended, `_tributary_deleted` telling deletes; the last row of a key is its state.
 */
import { readdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { runChecks } from '@tributary/connector-sdk/check';
import { confine, fileRoot } from '@tributary/connector-sdk/file-root';
import type { CallContext, CheckStep } from '@tributary/connector-sdk/source';
import type { Delivery, OpenTargetContext, Target, TargetConnector } from '@tributary/connector-sdk/target';
import { slotId, type Checkpoint, type RejectedRow, type Slot } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf, TributaryError } from '@tributary/errors/error';
import { makeFolder, writeDurable } from './durable-file.ts';
import { encodeRows } from './encode.ts';
import type { FileTargetConfig } from './config.ts';
import { addManifest, compact, listChains, manifestsFolder, readLatest, readParts, writerTag, type Manifest } from './manifests.ts';

const compress = promisify(gzip);

/** Manifests of a slot that are kept before a list replaces them. */
export const manifestsKept = 500;

/** A table's folder name: its name, with what might mean something to a file system written as %XX. */
export const folderName = (table: string): string => {
  const safe = table.replaceAll(/[^\p{L}\p{N}_.-]/gu, (character) =>
    encodeURIComponent(character).replaceAll(/[!'()*]/g, (odd) => `%${odd.charCodeAt(0).toString(16).toUpperCase()}`),
  );
  return safe.startsWith('.') ? `%2E${safe.slice(1)}` : safe;
};

const explain = (error: unknown, table: string): TributaryError => {
  if (error instanceof TributaryError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new TributaryError('PERMISSION_MISSING', `The folder of table "${table}" may not be written: ${code}.`, { cause: error });
  if (code === 'EEXIST' || code === 'ENOTDIR')
    return new TributaryError('CONFIG_INVALID', `The folder of table "${table}" cannot be made, because a file has its name.`, { cause: error });
  return new TributaryError('TARGET_FAILED', `Writing files of table "${table}" failed: ${messageOf(error)}.`, { cause: error });
};

const fenced = (slot: Slot): TributaryError => new TributaryError('FENCED', `Slot ${slotId(slot)} has a newer owner.`);

/** The slot's id as a file name can hold it. */
const chainName = (slot: Slot): string => `${folderName(slot.subscriptionId)}-${slot.slices}-${slot.slice}`;

const ownerOf = (slot: Slot, epoch: number): string => `${chainName(slot)}@${epoch}`;

/** `slices` of a chain of this subscription; null for other subscriptions' chains. */
const layoutOfChain = (name: string, subscriptionId: string): number | null => {
  const prefix = `${folderName(subscriptionId)}-`;
  const match = name.startsWith(prefix) ? /^(\d+)-\d+$/.exec(name.slice(prefix.length)) : null;
  return match === null ? null : Number(match[1]);
};

/** Takes the next number of a chain, so that its owner up to now is fenced. @throws FENCED */
const takeOwnChain = async (folder: string, slot: Slot, epoch: number): Promise<{ readonly number: number; readonly checkpoint: Checkpoint | null }> => {
  const name = chainName(slot);
  for (;;) {
    const { number, manifest } = await readLatest(folder, name);
    if (manifest !== null) {
      // A chain that another layout of the slices has taken over goes only to owners that came after that.
      const retired = !manifest.owner.startsWith(`${name}@`);
      if (manifest.epoch > epoch || (retired && manifest.epoch === epoch)) throw fenced(slot);
    }
    const checkpoint = manifest?.checkpoint ?? null;
    const claim: Manifest = { version: 1, kind: 'claim', slot: name, epoch, owner: ownerOf(slot, epoch), checkpoint, parts: [], errors: [] };
    if (await addManifest(folder, claim, number + 1)) return { number: number + 1, checkpoint };
  }
};

/** Fences the owner of a chain of another layout; gives the epoch that was fenced. */
const retireChain = async (folder: string, name: string, slot: Slot, epoch: number): Promise<number> => {
  for (;;) {
    const { number, manifest } = await readLatest(folder, name);
    if (manifest === null) return 0;
    if (layoutOfChain(manifest.owner.split('@')[0] ?? '', slot.subscriptionId) === slot.slices) return manifest.epoch;
    const claim: Manifest = { ...manifest, kind: 'claim', owner: ownerOf(slot, epoch), parts: [], errors: [] };
    if (await addManifest(folder, claim, number + 1)) return manifest.epoch;
  }
};

const partName = /^\.?part-(.+)-(\d+)-(\d{12})\.[a-z.]+?(?:\.[\w-]+\.tmp)?$/;

/** What `addManifest` makes of an owner to tell writers of one manifest apart. */
const temporaryManifest = /\.json\.(.+)_(\d+)\.tmp$/;

/** Removes parts that fenced owners of the slot left without a manifest, and half-written files. Parts of later epochs may be about to be listed. */
const removeLeftovers = async (tableFolder: string, errorFolder: string | null, slot: string, lastEpoch: number): Promise<number> => {
  const listed = await readParts(tableFolder, slot);
  const keep = new Set([...listed.parts, ...listed.errors].map((part) => path.join(tableFolder, part)));
  let removed = 0;
  for (const folder of errorFolder === null ? [tableFolder] : [tableFolder, errorFolder]) {
    for (const file of await readdir(folder)) {
      const match = partName.exec(file);
      if (match?.[1] !== slot || Number(match[2]) > lastEpoch || keep.has(path.join(folder, file))) continue;
      await unlink(path.join(folder, file)).catch(() => {});
      removed += 1;
    }
  }
  for (const file of await readdir(manifestsFolder(tableFolder))) {
    const match = temporaryManifest.exec(file);
    if (match?.[1] === writerTag(slot) && Number(match[2]) <= lastEpoch) await unlink(path.join(manifestsFolder(tableFolder), file)).catch(() => {});
  }
  return removed;
};

const rejectedAsRow = (rejected: RejectedRow, slot: Slot, at: string): Row => ({
  rejected_at: at,
  code: rejected.code,
  reason: rejected.reason,
  payload: rejected.payload,
  origin: { ...rejected.origin },
  pipeline_id: slot.pipelineId,
  subscription_id: slot.subscriptionId,
});

const openTarget = async (config: FileTargetConfig, context: OpenTargetContext): Promise<Target> => {
  const { table, errorTable, slot, epoch, primaryKey, log } = context;
  const name = chainName(slot);
  const root = await fileRoot();
  const folder = await confine(root, path.join(config.path, folderName(table)));
  const errorFolder = errorTable === null ? null : await confine(root, path.join(config.path, folderName(errorTable)));
  const declared = (context.columns ?? []).map((column) => column.name);
  const ending = config.compression === 'gzip' ? '.gz' : '';
  /** Number of the newest manifest of the slot; 0 before the claim. */
  let number = 0;

  const writePart = async (into: string, rows: readonly Row[], format: FileTargetConfig['format'], columns: readonly string[]): Promise<string> => {
    const part = `part-${name}-${epoch}-${String(number + 1).padStart(12, '0')}.${format}${ending}`;
    const bytes = encodeRows(rows, format, columns);
    await writeDurable(path.join(into, part), String(epoch), config.compression === 'gzip' ? await compress(bytes) : bytes);
    return part;
  };

  const commit = async ({ data, rejected, checkpoint }: Delivery): Promise<void> => {
    if (data.kind !== 'rows') throw new TributaryError('UNSUPPORTED', 'The file target takes rows only.');
    if (rejected.length > 0 && errorFolder === null)
      throw new TributaryError('REJECTS_EXCEEDED', `A row was rejected and table "${table}" has no error table: ${rejected[0]?.reason ?? ''}`);
    const marked = primaryKey.length > 0 || data.ops?.includes('delete') === true;
    const rows = marked ? data.rows.map((row, index) => ({ ...row, _tributary_deleted: data.ops?.[index] === 'delete' })) : data.rows;
    const columns = marked ? [...declared, '_tributary_deleted'] : declared;
    const parts = rows.length === 0 ? [] : [await writePart(folder, rows, config.format, columns)];
    const errors: string[] = [];
    if (rejected.length > 0 && errorFolder !== null) {
      const at = new Date().toISOString();
      const part = await writePart(
        errorFolder,
        rejected.map((row) => rejectedAsRow(row, slot, at)),
        'jsonl',
        [],
      );
      errors.push(path.join('..', path.basename(errorFolder), part));
    }
    // I1, I2: rows and checkpoint come to count in one step, when the manifest appears, and only if no other owner took its number.
    const manifest: Manifest = { version: 1, kind: 'commit', slot: name, epoch, owner: ownerOf(slot, epoch), checkpoint, parts, errors };
    if (!(await addManifest(folder, manifest, number + 1))) throw fenced(slot);
    number += 1;
  };

  return {
    formats: [],
    claim: async () => {
      try {
        await makeFolder(manifestsFolder(folder));
        if (errorFolder !== null) await makeFolder(errorFolder);
        const own = await takeOwnChain(folder, slot, epoch);
        number = own.number;
        let removed = await removeLeftovers(folder, errorFolder, name, epoch - 1);
        const others: Checkpoint[] = [];
        for (const chain of (await listChains(folder)).keys()) {
          const slices = layoutOfChain(chain, slot.subscriptionId);
          if (slices === null || chain === name) continue;
          if (slices !== slot.slices) removed += await removeLeftovers(folder, errorFolder, chain, await retireChain(folder, chain, slot, epoch));
          const { manifest } = await readLatest(folder, chain);
          if (manifest?.checkpoint != null) others.push(manifest.checkpoint);
        }
        if (removed > 0) log.info(`${removed} unfinished part ${removed === 1 ? 'file' : 'files'} of table "${table}" removed.`, { table, removed });
        return { own: own.checkpoint, others };
      } catch (error) {
        throw explain(error, table);
      }
    },
    deliver: async (delivery) => {
      if (number === 0) throw new TributaryError('INTERNAL', `Slot ${name} was not claimed before it delivered.`);
      try {
        await commit(delivery);
      } catch (error) {
        // The heir removes the parts of a fenced owner, even those being written.
        const latest = await readLatest(folder, name).catch(() => null);
        if (latest !== null && latest.manifest !== null && latest.manifest.owner !== ownerOf(slot, epoch)) throw fenced(slot);
        throw explain(error, table);
      }
      if (number % manifestsKept === 0)
        await compact(folder, name, ownerOf(slot, epoch)).catch((error: unknown) =>
          log.warn(`The manifests of table "${table}" could not be compacted: ${messageOf(error)}.`, { table }),
        );
      return { checkpoint: delivery.checkpoint, refused: [] };
    },
    close: async () => {},
  };
};

export const fileTarget: TargetConnector<FileTargetConfig> = {
  check: async (config: FileTargetConfig, _context: CallContext): Promise<CheckStep[]> => {
    let folder = '';
    return runChecks([
      {
        name: 'Folder',
        run: async () => {
          folder = await confine(await fileRoot(), config.path);
          return 'The folder is inside the folder for files.';
        },
      },
      {
        name: 'Write',
        run: async () => {
          const file = path.join(folder, `.tributary-check-${process.pid}-${Date.now()}`);
          try {
            await makeFolder(folder);
            await writeDurable(file, 'check', Buffer.from('check'));
            await unlink(file);
          } catch (error) {
            throw explain(error, config.path);
          }
          return 'A file was written and removed.';
        },
      },
    ]);
  },
  open: openTarget,
};
