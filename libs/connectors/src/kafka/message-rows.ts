/** Kafka records as rows. */
import { isUtf8 } from 'node:buffer';
import { parseExactRow } from '@tributary/connector-sdk/exact-json';
import { bytesPayload, cutText } from '@tributary/connector-sdk/payload';
import type { OpKind, Origin, RejectedRow } from '@tributary/contracts/ops';
import type { Row, Value } from '@tributary/contracts/types';
import type { FetchedMessage } from '@tributary/kafka/record-batch-reader';

/** UTF-8 as it is, other bytes as `base64:…`; at most 64 KiB. */
export const printable = (bytes: Buffer): string => (isUtf8(bytes) ? cutText(bytes.toString('utf8')) : bytesPayload(bytes));

const isRow = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value);

const kindOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value === 'bigint' ? 'number' : typeof value}`;

/** The row in `bytes`, or why there is none. */
const parseRow = (bytes: Buffer, what: string): Row | string => {
  if (bytes.length === 0) return `The ${what} is empty.`;
  if (!isUtf8(bytes)) return `The ${what} is not JSON: it is not UTF-8.`;
  let parsed: unknown;
  try {
    parsed = parseExactRow(bytes.toString('utf8'));
  } catch (error) {
    return `The ${what} cannot be read as JSON: ${error instanceof Error ? error.message.slice(0, 200) : 'it cannot be parsed'}.`;
  }
  return isRow(parsed) ? parsed : `The ${what} is JSON, but ${kindOf(parsed)} and not an object.`;
};

const headersOf = (message: FetchedMessage): Record<string, Value> => {
  const headers: Record<string, Value> = {};
  for (const [name, value] of Object.entries(message.headers ?? {})) headers[name] = Array.isArray(value) ? value.map(printable) : printable(value);
  return headers;
};

const metadataOf = (topic: string, partition: number, message: FetchedMessage): Row => {
  const offset = Number(message.offset);
  return {
    topic,
    partition,
    offset: Number.isSafeInteger(offset) ? offset : message.offset,
    timestamp: message.timestamp,
    key: message.key === null ? null : printable(message.key),
    headers: headersOf(message),
  };
};

export interface RowMaker {
  /** Adds the row of a record, or what is wrong with it. */
  add(partition: number, message: FetchedMessage): void;
  readonly rows: Row[];
  /** Undefined while all are upserts. */
  readonly ops: OpKind[] | undefined;
  readonly unreadable: RejectedRow[];
  originOf(index: number): Origin;
}

export const originOf = (topic: string, partition: number, offset: bigint): Origin => ({ topic, partition, offset: offset.toString() });

export interface RowMakerOptions {
  readonly includeMetadata: boolean;
  /** See OpenSourceContext. */
  readonly keyFields: readonly string[] | null;
}

/** Keys as our own target writes them (row-records.ts): of one column its text, of several a JSON array. */
const parseKey = (key: Buffer, keyFields: readonly string[] | null): Row | string => {
  const what = 'key of a record without a value';
  const object = parseRow(key, what);
  if (typeof object !== 'string' || keyFields === null || key.length === 0 || !isUtf8(key)) return object;
  const text = key.toString('utf8');
  const [only] = keyFields;
  if (only !== undefined && keyFields.length === 1) return { [only]: text };
  let values: Value;
  try {
    values = parseExactRow(text);
  } catch {
    return object;
  }
  if (!Array.isArray(values) || values.length !== keyFields.length) {
    return `The ${what} is neither a JSON object nor an array of the ${keyFields.length} values ${keyFields.join(', ')}.`;
  }
  return Object.fromEntries(keyFields.map((field, index) => [field, values[index] ?? null]));
};

export const createRowMaker = (topic: string, { includeMetadata, keyFields }: RowMakerOptions): RowMaker => {
  const rows: Row[] = [];
  const unreadable: RejectedRow[] = [];
  // Where each row came from, without holding on to the record and the buffer behind it.
  const offsets: bigint[] = [];
  const stretches: { readonly firstRow: number; readonly partition: number }[] = [];
  let ops: OpKind[] | undefined;

  const reject = (partition: number, message: FetchedMessage, reason: string): void => {
    unreadable.push({
      code: 'ROW_UNREADABLE',
      reason,
      payload: printable(message.value ?? message.key ?? Buffer.alloc(0)),
      origin: originOf(topic, partition, message.offset),
    });
  };

  const add = (partition: number, message: FetchedMessage): void => {
    const { value, key } = message;
    let row: Row | string;
    if (value !== null) row = parseRow(value, 'value');
    else if (key === null) row = 'The record has neither key nor value.';
    else row = parseKey(key, keyFields);
    if (typeof row === 'string') {
      reject(partition, message, row);
      return;
    }
    if (value === null) ops ??= rows.map(() => 'upsert');
    ops?.push(value === null ? 'delete' : 'upsert');
    if (includeMetadata) row['_kafka'] = metadataOf(topic, partition, message);
    if (stretches.at(-1)?.partition !== partition) stretches.push({ firstRow: rows.length, partition });
    rows.push(row);
    offsets.push(message.offset);
  };

  return {
    add,
    rows,
    get ops() {
      return ops;
    },
    unreadable,
    originOf: (index) => originOf(topic, stretches.findLast((one) => one.firstRow <= index)?.partition ?? -1, offsets[index] ?? -1n),
  };
};
