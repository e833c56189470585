/** Documents as values of the contract (libs/contracts/src/types.ts). Types of BSON: https://bsonspec.org/spec.html */
import { BSON, type Binary, type BSONSymbol, type Decimal128, type Document, type Long, type ObjectId } from 'mongodb';
import { parseExact, plainNotation } from '@tributary/connector-sdk/exact-json';
import type { Row, Value } from '@tributary/contracts/types';

/** How documents are decoded everywhere here, so that no value is rounded on the way. */
export const decodeOptions = { promoteLongs: true, useBigInt64: true, promoteBuffers: false, bsonRegExp: true, validation: { utf8: true } } as const;

/** Says why a document cannot be a row. */
export class UnreadableValue extends Error {}

/** Canonical extended JSON (https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/): the exact value as text. I5. */
export const exactText = (value: unknown): string => BSON.EJSON.stringify(value, { relaxed: false });
export const fromExactText = (text: string): unknown => BSON.EJSON.parse(text, { relaxed: false }) as unknown;

const plainDecimal = (decimal: Decimal128): string => plainNotation(decimal.toString().replace('E', 'e'));

const uuidSubtype = 4;

const bytesOf = (binary: Binary): Value => {
  // Of the bytes of a UUID nobody makes anything: its text is what all other systems know.
  if (binary.sub_type === uuidSubtype && binary.position === 16) return binary.toUUID().toString();
  return Uint8Array.from(binary.value());
};

const dateText = (date: Date): string => {
  if (Number.isNaN(date.getTime())) throw new UnreadableValue('a date is beyond the years that JavaScript knows');
  return date.toISOString();
};

/** `isField`: a value of the row itself, where decimals are texts; inside documents they are numbers. */
const valueOf = (value: unknown, isField: boolean): Value => {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      return value;
    case 'bigint':
      return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
    case 'object':
      break;
    default:
      return null;
  }
  if (value === null) return null;
  if (Array.isArray(value)) return value.map((item) => valueOf(item, false));
  if (value instanceof Date) return dateText(value);
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  const kind = '_bsontype' in value ? value._bsontype : undefined;
  switch (kind) {
    case undefined:
      return documentOf(value, false);
    case 'ObjectId':
      return (value as ObjectId).toHexString();
    case 'Decimal128': {
      const plain = plainDecimal(value as Decimal128);
      return isField || !/^-?\d/.test(plain) ? plain : parseExact(plain);
    }
    case 'Binary':
      return bytesOf(value as Binary);
    case 'Long':
      return valueOf((value as Long).toBigInt(), isField);
    case 'Int32':
    case 'Double':
      return Number(value);
    case 'BSONSymbol':
      return (value as BSONSymbol).value;
    default:
      // Patterns, timestamps of the oplog, code, references, the least and the greatest key: as extended JSON.
      return JSON.parse(exactText(value)) as Value;
  }
};

/** Fields that are `undefined`, a type of long ago, are missing. */
const documentOf = (document: Document, isRow: boolean): Row => {
  const row: Row = {};
  for (const name of Object.keys(document)) {
    const field: unknown = document[name];
    if (field === undefined) continue;
    const value = valueOf(field, isRow);
    if (name === '__proto__') Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
    else row[name] = value;
  }
  return row;
};

/** @throws UnreadableValue */
export const rowOfDocument = (document: Document): Row => documentOf(document, true);

export const valueOfField = (field: unknown): Value => valueOf(field, true);
