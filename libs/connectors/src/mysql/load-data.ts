/**
 * Two ways to hand many rows to the server: LOAD DATA LOCAL with lines from memory (https://dev.mysql.com/doc/refman/8.4/en/load-data.html),
 * and INSERT with many rows, where the server allows no LOCAL or must say which row it stumbles over.
 */
import { Readable } from 'node:stream';
import type { Session } from './connect.ts';
import { quoteName, quoteNames, quoteText } from './identifiers.ts';
import { LostData, rowNumberOf } from './server-errors.ts';
import type { EncodeColumn } from './values.ts';

export type Fields = readonly (string | null)[];

/** Characters gathered for one packet: large enough that packets cost nothing, small enough that server and encoder work side by side. */
const chunkLength = 256 * 1024;

const special = /[\\\t\n\r\0]/;
const specials = /[\\\t\n\r\0]/g;
const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r', '\0': '\\0' };

const lineOf = (fields: Fields): string => {
  let line = '';
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] ?? null;
    if (index > 0) line += '\t';
    line += field === null ? '\\N' : special.test(field) ? field.replaceAll(specials, (character) => escapes[character] ?? '') : field;
  }
  return `${line}\n`;
};

/** `table` is quoted. With LOCAL the server turns errors into warnings, so `session.run` takes none. @throws LostData */
export const loadRows = async (session: Session, table: string, columns: readonly EncodeColumn[], rows: readonly Fields[]): Promise<void> => {
  const places = columns.map((column, index) => (column.form === 'text' ? quoteName(column.name) : `@tributary_${index}`));
  const sets = columns.flatMap((column, index) => {
    if (column.form === 'text') return [];
    return [`${quoteName(column.name)} = ${column.form === 'hex' ? `unhex(@tributary_${index})` : `cast(@tributary_${index} as unsigned)`}`];
  });
  const result = await session.run(
    `load data local infile 'rows' into table ${table} character set utf8mb4 fields terminated by '\\t' escaped by '\\\\' lines terminated by '\\n'
     (${places.join(', ')})${sets.length === 0 ? '' : ` set ${sets.join(', ')}`}`,
    () => Readable.from(chunksOf(rows), { objectMode: true, highWaterMark: 2 }),
  );
  if (result.affectedRows !== rows.length) throw new LostData(`The server took ${result.affectedRows} of ${rows.length} rows.`);
};

function* chunksOf(rows: readonly Fields[]): Generator<Buffer> {
  let chunk = '';
  for (const row of rows) {
    chunk += lineOf(row);
    if (chunk.length >= chunkLength) {
      yield Buffer.from(chunk);
      chunk = '';
    }
  }
  if (chunk !== '') yield Buffer.from(chunk);
}

const literalOf = (field: string | null, column: EncodeColumn): string => {
  if (field === null) return 'null';
  return column.form === 'text' ? quoteText(field) : column.form === 'hex' ? `x'${field}'` : field;
};

/** What stopped `insertRows`, and which row did, where the server says so. */
export class RefusedInsert extends Error {
  readonly row: number | undefined;
  constructor(cause: unknown, row: number | undefined) {
    super('', { cause });
    this.row = row;
  }
}

/** `table` is quoted. @throws RefusedInsert */
export const insertRows = async (session: Session, table: string, columns: readonly EncodeColumn[], rows: readonly Fields[]): Promise<void> => {
  const longest = Math.min(2 * chunkLength, session.server.maxPacket / 4);
  const head = `insert into ${table} (${quoteNames(columns.map((column) => column.name))}) values `;
  let first = 0;
  let values: string[] = [];
  let length = 0;
  const flush = async (): Promise<void> => {
    if (values.length === 0) return;
    try {
      await session.run(head + values.join(', '));
    } catch (error) {
      const row = rowNumberOf(error);
      throw new RefusedInsert(error, row === undefined || row < 1 || row > values.length ? undefined : first + row - 1);
    }
    first += values.length;
    values = [];
    length = 0;
  };
  for (const fields of rows) {
    const value = `(${columns.map((column, index) => literalOf(fields[index] ?? null, column)).join(', ')})`;
    if (length + value.length > longest) await flush();
    values.push(value);
    length += value.length;
  }
  await flush();
};
