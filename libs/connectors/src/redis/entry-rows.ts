/** Entries of streams as rows. */
import { isUtf8 } from 'node:buffer';
import { parseExactRow, stringifyExact } from '@tributary/connector-sdk/exact-json';
import { bytesPayload, cutText } from '@tributary/connector-sdk/payload';
import type { OpKind, Origin, RejectedRow } from '@tributary/contracts/ops';
import type { Row, Value } from '@tributary/contracts/types';
import { timeOf } from './stream-position.ts';

export interface Entry {
  readonly id: string;
  /** Names and values in turn. */
  readonly fields: readonly Buffer[];
}

export interface EntryFormat {
  readonly jsonField: string | undefined;
  /** Empty: every entry is an upsert. */
  readonly operationField: string;
  readonly includeMetadata: boolean;
}

/** What an entry weighs beside its fields, and each of these beside its bytes. */
const entryBytes = 40;
const fieldBytes = 4;

export const weightOf = ({ fields }: Entry): number => {
  let bytes = entryBytes;
  for (const part of fields) bytes += part.length + fieldBytes;
  return bytes;
};

const valueOf = (bytes: Buffer): Value => (isUtf8(bytes) ? bytes.toString('utf8') : new Uint8Array(bytes));

const payloadOf = ({ fields }: Entry): string => {
  if (!fields.every((part) => isUtf8(part))) return bytesPayload(Buffer.concat(fields.flatMap((part) => [part, Buffer.from('\n')])));
  const texts: Record<string, string> = {};
  for (let at = 0; at + 1 < fields.length; at += 2) texts[String(fields[at])] = String(fields[at + 1]);
  return cutText(JSON.stringify(texts));
};

/** The row in a field, or why there is none. */
const parseJsonField = (name: string, bytes: Buffer): Row | string => {
  if (!isUtf8(bytes)) return `Field "${name}" is not JSON: it is not UTF-8.`;
  let parsed: Value;
  try {
    parsed = parseExactRow(bytes.toString('utf8'));
  } catch (error) {
    return `Field "${name}" is not JSON: ${error instanceof Error ? error.message.slice(0, 200) : 'it cannot be parsed'}.`;
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) && !(parsed instanceof Uint8Array)) return parsed;
  return `Field "${name}" is JSON, but no object.`;
};

interface Decoded {
  readonly row: Row;
  readonly op: OpKind;
}

/** The row of an entry, or why there is none. */
const decode = ({ fields }: Entry, { jsonField, operationField }: EntryFormat): Decoded | string => {
  const row: Row = {};
  let whole: Row | null = null;
  let op: OpKind = 'upsert';
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const nameBytes = fields[at] as Buffer;
    const bytes = fields[at + 1] as Buffer;
    const name = nameBytes.toString('utf8');
    if (name === operationField && operationField !== '') {
      const said = bytes.toString('utf8');
      if (said !== 'upsert' && said !== 'delete')
        return `Field "${name}" says ${JSON.stringify(said.slice(0, 100))} instead of "upsert" or "delete"; the setting "Operation field" names another field, or none.`;
      op = said;
    } else if (jsonField !== undefined) {
      if (name !== jsonField) continue;
      const parsed = parseJsonField(name, bytes);
      if (typeof parsed === 'string') return parsed;
      whole = parsed;
    } else {
      if (!isUtf8(nameBytes)) return 'The name of a field is not UTF-8.';
      // A plain assignment would set the prototype, and lose the value.
      if (name === '__proto__') Object.defineProperty(row, name, { value: valueOf(bytes), enumerable: true, configurable: true, writable: true });
      else row[name] = valueOf(bytes);
    }
  }
  if (jsonField === undefined) return { row, op };
  return whole === null ? `The entry has no field "${jsonField}".` : { row: whole, op };
};

export interface RowMaker {
  /** Adds the row of an entry, or what is wrong with it. */
  add(stream: string, entry: Entry): void;
  readonly rows: Row[];
  /** Undefined while all are upserts. */
  readonly ops: () => OpKind[] | undefined;
  readonly unreadable: RejectedRow[];
  readonly originOf: (index: number) => Origin;
}

export const createRowMaker = (format: EntryFormat): RowMaker => {
  const rows: Row[] = [];
  const unreadable: RejectedRow[] = [];
  // Where each row came from, without holding on to the entry and the buffer behind it.
  const ids: string[] = [];
  const streams: string[] = [];
  let ops: OpKind[] | undefined;
  return {
    rows,
    unreadable,
    ops: () => ops,
    originOf: (index) => ({ stream: streams[index] ?? '', id: ids[index] ?? '' }),
    add: (stream, entry) => {
      const decoded = decode(entry, format);
      if (typeof decoded === 'string') {
        unreadable.push({ code: 'ROW_UNREADABLE', reason: decoded, payload: payloadOf(entry), origin: { stream, id: entry.id } });
        return;
      }
      if (decoded.op === 'delete') ops ??= rows.map(() => 'upsert');
      ops?.push(decoded.op);
      if (format.includeMetadata) decoded.row['_redis'] = { stream, id: entry.id, timestamp: timeOf(entry.id) };
      rows.push(decoded.row);
      ids.push(entry.id);
      streams.push(stream);
    },
  };
};

/** A row for a preview; what is no row is shown with the reason. */
export const previewOf = (stream: string, entry: Entry, format: EntryFormat): Row => {
  const maker = createRowMaker(format);
  maker.add(stream, entry);
  const [rejected] = maker.unreadable;
  return maker.rows[0] ?? { _unreadable: rejected?.reason ?? null, _payload: rejected?.payload ?? stringifyExact(null) };
};
