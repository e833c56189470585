/**
 * Compiles a mapper to one function from a record to rows.
 *
 * - Paths that begin alike are walked once. What is not there is null in the row.
 * - `[*]` spreads an array over rows. All first `[*]` of the paths go on together, index by index, the shorter arrays
 *   filled up with null; so do all second `[*]` within one index, and so on. No element, no row: such a record is filtered.
 *   A missing or null array counts as empty; anything else that is not an array rejects the record.
 * - A decimal inside a JSON document that no double holds (see contracts/types.ts) comes out as its text, unless cast to JSON.
 * - A record is rejected as a whole, whichever of its rows is wrong.
 * - Of a delete only the key columns are mapped; without key columns it is filtered, since nothing could be deleted by it.
 *
 * The function is generated source: with a literal per row and constant names V8 builds rows of one shape, more than twice
 * as fast as a loop over the columns does (`mapper.bench.ts` prints both). Every text of the config enters the source
 * through JSON.stringify only.
 */
import { longDecimal, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { MapperColumn, MapperConfig } from '@tributary/contracts/mapper';
import type { OpKind, RejectedRow } from '@tributary/contracts/ops';
import type { Column, Row, Value } from '@tributary/contracts/types';
import { TributaryError } from '@tributary/errors/error';
import { castTitles, castString, type Cast } from './cast.ts';
import { parsePath, type PathStep } from './path.ts';
import { compileTransform, concatenate } from './transform.ts';

export interface CompiledMapper {
  /** In the order of the config; what the target is opened with. */
  readonly columns: readonly Column[];
  readonly primaryKey: readonly string[];
  /**
   * The record's own fields that the key columns are taken from, in the order of `primaryKey`; null unless each is one plain field whose
   * cast tells a value from its text.
   */
  readonly keyFields: readonly string[] | null;
  /** Appends the rows of `record` to `out`. False when the record is rejected: `out` is as it was, and `rejection()` says why. */
  map(record: Row, op: OpKind, out: Row[]): boolean;
  /** Why the last record was rejected; to be asked before the next is mapped. */
  rejection(): Pick<RejectedRow, 'code' | 'reason'>;
}

/** Set by the generated function when it gives up on a record. */
interface Fault {
  column: number;
  /** What could not be cast or spread; null or undefined: a value is missing. */
  value: Value | undefined;
  spreading: boolean;
}

interface MappedColumn {
  readonly config: MapperColumn;
  readonly column: Column;
  readonly apply: Cast | null;
  /** One path, several to concatenate, or none for a static value. */
  readonly paths: readonly (readonly PathStep[])[];
  readonly concatenated: boolean;
  /** The value of a static column, transformed once. */
  readonly fixed: Value;
  /** How many `[*]` stand before the value. */
  readonly depth: number;
}

type MapFunction = (record: Row, out: Row[]) => boolean;

/** @throws CONFIG_INVALID naming the column */
export const compileMapper = (config: MapperConfig, options: { readonly encryptionKey?: Buffer } = {}): CompiledMapper => {
  const columns = config.map((column) => readColumn(column, options.encryptionKey));
  const twice = config.find((column, index) => config.findIndex((other) => other.key === column.key) !== index);
  if (twice !== undefined) throw new TributaryError('CONFIG_INVALID', `The mapper has two columns "${twice.key}".`);

  const fault: Fault = { column: -1, value: null, spreading: false };
  const all = columns.map((_, index) => index);
  const keys = all.filter((index) => columns[index]?.config.primary_key === true);
  const mapUpsert = generate(columns, all, fault);
  const mapDelete = keys.length === 0 ? () => true : generate(columns, keys, fault);

  return {
    columns: columns.map(({ column }) => column),
    primaryKey: keys.map((index) => config[index]?.key ?? ''),
    keyFields: keyFieldsOf(keys.flatMap((index) => columns[index] ?? [])),
    map: (record, op, out) => {
      const before = out.length;
      if (op === 'upsert' ? mapUpsert(record, out) : mapDelete(record, out)) return true;
      out.length = before;
      return false;
    },
    rejection: () => describe(columns[fault.column]?.config, fault),
  };
};

/** Without a cast `42` and `"42"` are two keys, and their text does not say which it was. */
const keyFieldsOf = (keys: readonly MappedColumn[]): readonly string[] | null => {
  const fields = keys.flatMap(({ config, paths, concatenated }) => {
    const [path] = paths;
    const [step] = path ?? [];
    return !concatenated && path?.length === 1 && step?.kind === 'key' && config.cast != null && config.cast !== 'json' ? [step.key] : [];
  });
  return keys.length > 0 && fields.length === keys.length ? fields : null;
};

const readColumn = (config: MapperColumn, encryptionKey: Buffer | undefined): MappedColumn => {
  try {
    const { type, apply } = compileTransform(config, encryptionKey);
    const concatenated = (config.concatenate_fields?.length ?? 0) > 0;
    const texts = concatenated ? (config.concatenate_fields ?? []) : typeof config.path === 'string' ? [config.path] : [];
    const paths = texts.map(parsePath);
    let fixed: Value | undefined = config.static ?? null;
    if (texts.length === 0 && fixed !== null && apply !== null) {
      fixed = apply(fixed);
      if (fixed === undefined) throw new TributaryError('CONFIG_INVALID', `the static value ${shown(config.static)} is not ${title(config)}.`);
    }
    return {
      config,
      column: { name: config.key, type, nullable: config.primary_key !== true && config.nullable !== false },
      apply,
      paths,
      concatenated,
      fixed,
      depth: Math.max(0, ...paths.map((path) => path.filter((step) => step.kind === 'each').length)),
    };
  } catch (error) {
    if (!(error instanceof TributaryError) || error.message.startsWith('Column ')) throw error;
    throw new TributaryError('CONFIG_INVALID', `Column "${config.key}": ${error.message}`, { cause: error });
  }
};

const title = (column: MapperColumn): string => {
  const name = castTitles[column.cast ?? 'string'];
  return column.cast_format ? `${name} in the format ${column.cast_format}` : name;
};

const longestShownValue = 100;

const shown = (value: Value | undefined): string => {
  const bytes = value instanceof Uint8Array;
  const text = bytes
    ? (castString(value) ?? `0x${Buffer.from(value.subarray(0, 50)).toString('hex')}`)
    : typeof value === 'string'
      ? value
      : stringifyExact(value ?? null);
  const cut = text.length > longestShownValue ? `${text.slice(0, longestShownValue)}…` : text;
  return typeof value === 'string' ? JSON.stringify(cut) : cut;
};

const describe = (column: MapperColumn | undefined, fault: Fault): Pick<RejectedRow, 'code' | 'reason'> => {
  if (column === undefined) throw new TributaryError('INTERNAL', 'The mapper was asked for a rejection it did not make.');
  const name = `Column "${column.key}"`;
  const where = column.concatenate_fields?.length ? column.concatenate_fields.join(', ') : column.path;
  if (fault.spreading) return { code: 'CAST_FAILED', reason: `${name}: ${shown(fault.value)} is not an array, so ${where} cannot spread it.` };
  if (fault.value === null || fault.value === undefined) return { code: 'VALUE_MISSING', reason: `${name} must have a value, but there is none at ${where}.` };
  return { code: 'CAST_FAILED', reason: `${name}: ${shown(fault.value)} is not ${title(column)}.` };
};

/** A place in the record that paths go through: what the steps before it lead to, in a variable of the generated function. */
interface Place {
  readonly variable: string;
  readonly members: Map<string, { readonly step: PathStep; readonly place: Place }>;
  /** The elements, where a path goes on by `[*]`, and the first column that asks for them. */
  elements: { readonly place: Place; readonly column: number } | null;
}

const generate = (columns: readonly MappedColumn[], indexes: readonly number[], fault: Fault): MapFunction => {
  let variables = 0;
  const newPlace = (): Place => ({ variable: `v${variables++}`, members: new Map(), elements: null });
  const record = newPlace();

  const placeOf = (path: readonly PathStep[], column: number): Place => {
    let place = record;
    for (const step of path) {
      if (step.kind === 'each') {
        place.elements ??= { place: newPlace(), column };
        place = place.elements.place;
      } else {
        const name = JSON.stringify(step);
        const member = place.members.get(name) ?? { step, place: newPlace() };
        place.members.set(name, member);
        place = member.place;
      }
    }
    return place;
  };

  const sources = new Map(indexes.map((index) => [index, columns[index]?.paths.map((path) => placeOf(path, index).variable) ?? []]));
  const lines: string[] = [];

  const emitColumn = (index: number): void => {
    const mapped = columns[index];
    const from = sources.get(index);
    if (mapped === undefined || from === undefined) return;
    const [first] = from;
    if (first === undefined) {
      lines.push(`const c${index} = fixed[${index}];`);
    } else if (mapped.concatenated) {
      lines.push(`const j${index} = concatenate([${from.join(', ')}]);`);
      lines.push(`if (j${index} === undefined) return fail(${index}, [${from.join(', ')}].find((part) => part instanceof Uint8Array));`);
      emitTransform(index, mapped, `j${index}`);
    } else {
      emitTransform(index, mapped, first);
    }
  };

  const emitTransform = (index: number, mapped: MappedColumn, value: string): void => {
    if (mapped.apply === null) lines.push(`const c${index} = typeof ${value} === 'object' ? (longDecimal(${value}) ?? ${value}) : (${value} ?? null);`);
    else
      lines.push(
        `const c${index} = ${value} === undefined || ${value} === null ? null : apply${index}(${value});`,
        `if (c${index} === undefined) return fail(${index}, ${value});`,
      );
    if (!mapped.column.nullable) lines.push(`if (c${index} === null) return fail(${index}, null);`);
  };

  /** What is at the given places, the columns with `depth` `[*]`, then either the rows or the next level of elements. */
  const emitLevel = (places: readonly Place[], depth: number): void => {
    const arrays: { array: string; element: Place; column: number }[] = [];
    const walk = (place: Place): void => {
      if (place.elements !== null) arrays.push({ array: place.variable, element: place.elements.place, column: place.elements.column });
      for (const { step, place: member } of place.members.values()) {
        lines.push(`const ${member.variable} = ${access(place.variable, step)};`);
        walk(member);
      }
    };
    places.forEach(walk);

    if (arrays.length > 0) {
      lines.push(`let n${depth} = 0;`);
      for (const { array, column } of arrays) {
        lines.push(`if (${array} !== undefined && ${array} !== null) {`, `if (!Array.isArray(${array})) return failSpread(${column}, ${array});`);
        lines.push(`if (${array}.length > n${depth}) n${depth} = ${array}.length;`, '}');
      }
      lines.push(`if (n${depth} === 0) ${depth === 0 ? 'return true' : 'continue'};`);
    }
    for (const index of indexes) if (columns[index]?.depth === depth) emitColumn(index);
    if (arrays.length === 0) {
      lines.push(`out.push({${indexes.map((index) => `${memberName(columns[index]?.config.key ?? '')}: c${index}`).join(', ')}});`);
      return;
    }
    lines.push(`for (let i${depth} = 0; i${depth} < n${depth}; i${depth}++) {`);
    for (const { array, element } of arrays) lines.push(`const ${element.variable} = ${array}?.[i${depth}];`);
    emitLevel(
      arrays.map(({ element }) => element),
      depth + 1,
    );
    lines.push('}');
  };

  emitLevel([record], 0);
  const applied = indexes.filter((index) => typeof columns[index]?.apply === 'function');
  const source = [
    ...applied.map((index) => `const apply${index} = apply[${index}];`),
    `return (${record.variable}, out) => {`,
    ...lines,
    'return true;',
    '};',
  ].join('\n');

  const fail = (column: number, value: Value | undefined): boolean => {
    fault.column = column;
    fault.value = value;
    fault.spreading = false;
    return false;
  };
  const failSpread = (column: number, value: Value): boolean => {
    fail(column, value);
    fault.spreading = true;
    return false;
  };
  // oxlint-disable-next-line no-implied-eval -- see the head of this file
  const build = new Function('apply', 'fixed', 'fail', 'failSpread', 'concatenate', 'member', 'elementOrMember', 'longDecimal', `'use strict';\n${source}`) as (
    ...parts: unknown[]
  ) => MapFunction;
  return build(
    columns.map(({ apply }) => apply),
    columns.map(({ fixed }) => fixed),
    fail,
    failSpread,
    concatenate,
    member,
    elementOrMember,
    longDecimal,
  );
};

/** `__proto__` in a literal would set the prototype; in brackets it is a name like any other. */
const memberName = (key: string): string => (key === '__proto__' ? '["__proto__"]' : JSON.stringify(key));

const access = (from: string, step: PathStep): string => {
  if (step.kind === 'key') return isPlainName(step.key) ? `${from}?.[${JSON.stringify(step.key)}]` : `member(${from}, ${JSON.stringify(step.key)})`;
  if (step.kind === 'index') return step.lenient ? `elementOrMember(${from}, ${step.index})` : `(Array.isArray(${from}) ? ${from}[${step.index}] : undefined)`;
  throw new TributaryError('INTERNAL', 'A wildcard is not a member.');
};

const prototypes: readonly object[] = [
  Object.prototype,
  Array.prototype,
  String.prototype,
  Number.prototype,
  Boolean.prototype,
  BigInt.prototype,
  Buffer.prototype,
  JSON.rawJSON('0'),
];

/** A name that no value has but an object that was given it: it can be read without asking who owns it. */
const isPlainName = (name: string): boolean => !/^\d+$/.test(name) && !prototypes.some((prototype) => name in prototype);

const member = (value: Value | undefined, name: string): Value | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) && !JSON.isRawJSON(value) && Object.hasOwn(value, name)
    ? value[name]
    : undefined;

const elementOrMember = (value: Value | undefined, index: number): Value | undefined => (Array.isArray(value) ? value[index] : member(value, String(index)));
