/** The rows of a delivery as operations, in source order (I4), and which of them MongoDB would not take. */
import { BSON, type AnyBulkWriteOperation, type ClientSession, type Collection, type Document } from 'mongodb';
import type { OpKind } from '@tributary/contracts/ops';
import type { Row } from '@tributary/contracts/types';
import { messageOf } from '@tributary/errors/error';
import { UnwritableValue } from './to-bson.ts';

/** Bytes of a stored document: https://www.mongodb.com/docs/manual/reference/limits/ */
const largestDocument = 16 * 1024 * 1024;

export interface Refusal {
  readonly code: 'ROW_REFUSED' | 'ROW_TOO_LARGE';
  readonly reason: string;
}

/** Index of a row → why it is refused. */
export type Refusals = Map<number, Refusal>;

export interface Plan {
  readonly operations: AnyBulkWriteOperation[];
  /** Index of an operation → index of its row. */
  readonly rowOf: number[];
}

interface PlanOptions {
  readonly rows: readonly Row[];
  readonly ops: readonly OpKind[] | null;
  readonly primaryKey: readonly string[];
  readonly encode: (row: Row, only?: readonly string[]) => Document;
}

/** Rows in `refused` are left out; rows that no document can hold are added to it. */
export const planWrite = ({ rows, ops, primaryKey, encode }: PlanOptions, refused: Refusals): Plan => {
  const plan: Plan = { operations: [], rowOf: [] };
  for (let index = 0; index < rows.length; index++) {
    if (refused.has(index)) continue;
    const row = rows[index] as Row;
    const missing = primaryKey.find((name) => row[name] === null || row[name] === undefined);
    if (missing !== undefined) {
      refused.set(index, { code: 'ROW_REFUSED', reason: `Key column "${missing}" has no value.` });
      continue;
    }
    try {
      plan.operations.push(operationOf(row, ops?.[index] === 'delete', primaryKey, encode));
      plan.rowOf.push(index);
    } catch (error) {
      if (!(error instanceof UnwritableValue)) throw error;
      refused.set(index, { code: 'ROW_REFUSED', reason: error.message });
    }
  }
  return plan;
};

const operationOf = (row: Row, isDelete: boolean, primaryKey: readonly string[], encode: PlanOptions['encode']): AnyBulkWriteOperation => {
  if (isDelete) return { deleteOne: { filter: filterOf(encode(row, primaryKey)) } };
  const document = encode(row);
  if (primaryKey.length === 0) return { insertOne: { document } };
  const filter = filterOf(Object.fromEntries(primaryKey.map((name) => [name, document[name] as unknown])));
  // The server takes a name that begins with $ for an operator, unless the document is a literal.
  if (Object.keys(document).some((name) => name.startsWith('$')))
    return { updateOne: { filter, update: [{ $replaceWith: { $literal: document } }], upsert: true } };
  return { replaceOne: { filter, replacement: document, upsert: true } };
};

/** With $eq a value is compared as it is, whatever it looks like. */
const filterOf = (key: Document): Document => Object.fromEntries(Object.entries(key).map(([name, value]) => [name, { $eq: value as unknown }]));

/** To be called in the transaction of the checkpoint. */
export const writePlan = async (collection: Collection, session: ClientSession, plan: Plan): Promise<void> => {
  if (plan.operations.length > 0) await collection.bulkWrite(plan.operations, { session, ordered: true });
};

/** After the driver could not even send the operations: finds those it stumbles over, mostly documents that are too large. */
export const unsendable = (plan: Plan): Refusals => {
  const found: Refusals = new Map();
  for (const [at, operation] of plan.operations.entries()) {
    const index = plan.rowOf[at] ?? 0;
    try {
      // An operation carries its filter too, so its own size says less than that of the document.
      const size = BSON.calculateObjectSize(documentOf(operation));
      if (size > largestDocument)
        found.set(index, { code: 'ROW_TOO_LARGE', reason: `The row makes a document of ${size} bytes; MongoDB holds ${largestDocument} at most.` });
      else BSON.serialize(documentOf(operation));
    } catch (error) {
      found.set(index, { code: 'ROW_REFUSED', reason: `The row cannot be written as a document: ${messageOf(error).split('\n')[0] ?? ''}.` });
    }
  }
  return found;
};

const documentOf = (operation: AnyBulkWriteOperation): Document => {
  if ('insertOne' in operation) return operation.insertOne.document;
  if ('replaceOne' in operation) return operation.replaceOne.replacement;
  return operation;
};
