/** What the conformance suite needs to know of Redis. */
import { Redis } from 'ioredis';
import { parseExact, stringifyExact } from '@tributary/connector-sdk/exact-json';
import type { Conformance, ConnectorUnderTest, ErrorRow } from '@tributary/conformance/under-test';
import type { Column, Row, Value } from '@tributary/contracts/types';
import { testServers, uniqueName } from '@tributary/devstack/testing';

type Fields = Readonly<Record<string, string>>;

const pairs = (list: readonly string[]): Fields => {
  const fields: Record<string, string> = {};
  for (let at = 0; at + 1 < list.length; at += 2) fields[list[at] ?? ''] = list[at + 1] ?? '';
  return fields;
};

/** A field's text → the value that was written, by the column's type; what was not declared is what it looks like. */
const revived = (text: string, column: Column | undefined): Value => {
  switch (column?.type?.kind) {
    case 'BINARY':
      return new Uint8Array(Buffer.from(text, 'base64'));
    case 'BOOLEAN':
      return text === 'true';
    case 'SHORT':
    case 'INT':
    case 'FLOAT':
    case 'DOUBLE':
      return Number(text);
    case 'LONG':
      return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
    case 'JSON':
      return parseExact(text);
    case undefined:
      return /^(-?\d|\{|\[|true$|false$)/.test(text) ? parseExact(text) : text;
    default:
      return text;
  }
};

const rowOf = (fields: Fields, columns: readonly Column[]): Row => {
  const named = new Map(columns.map((column) => [column.name, column]));
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([name]) => name !== '_op')
      .map(([name, text]) => [name, revived(text, named.get(name))]),
  );
};

/** What is left of the entries of a stream when the last of each key counts; entries without a key all do. */
const folded = (entries: readonly Fields[], primaryKey: readonly string[]): Fields[] => {
  const last = new Map<string | symbol, Fields>();
  for (const fields of entries) {
    const key = primaryKey.length === 0 ? Symbol('keyless') : JSON.stringify(primaryKey.map((name) => fields[name]));
    last.set(key, fields);
  }
  return [...last.values()].filter((fields) => fields['_op'] !== 'delete');
};

/** Text of each column, as a user's own XADD has it. */
const fieldsOf = (row: Row): string[] =>
  Object.entries(row).flatMap(([name, value]) => (value === null ? [] : [name, typeof value === 'string' ? value : stringifyExact(value)]));

const setup = async (writeAs: 'stream' | 'hashes'): Promise<ConnectorUnderTest> => {
  const url = testServers().redis;
  const { hostname, port } = new URL(url);
  const client = new Redis(url);
  const user = uniqueName('user');
  await client.call('ACL', 'SETUSER', user, 'on', '>right', '~*', '+@all');
  const append = async (stream: string, rows: readonly Row[]): Promise<void> => {
    for (const row of rows) await client.xadd(stream, '*', ...fieldsOf(row));
  };
  const entriesOf = async (stream: string): Promise<Fields[]> => (await client.xrange(stream, '-', '+')).map(([, list]) => pairs(list));
  const hashesOf = async (table: string): Promise<Fields[]> => {
    const found = new Set<string>();
    for (let cursor = ''; cursor !== '0';) {
      const [next, keys] = await client.scan(cursor === '' ? '0' : cursor, 'MATCH', `${table}:*`, 'COUNT', 1_000);
      for (const key of keys) found.add(key);
      cursor = next;
    }
    return Promise.all([...found].map((key) => client.hgetall(key)));
  };
  const broken = [
    { why: 'a port nobody listens on', config: { host: '127.0.0.1', port: 1 }, step: 'connect', says: '127.0.0.1:1' },
    { why: 'no server at all', config: {}, step: 'connect', says: 'host' },
    { why: 'a URL of something else', config: { url: 'http://secret@127.0.0.1' }, step: 'connect', says: 'redis://' },
    { why: 'a wrong password', config: { host: hostname, port, username: user, password: 'wrong' }, step: 'sign in', says: 'password' },
    { why: 'a database that is not there', config: { host: hostname, port, db: 9_999 }, step: 'sign in', says: 'DB index' },
    { why: 'TLS where the server has none', config: { host: hostname, port, tls: true, connection_timeout: 1 }, step: 'sign in', says: 'TLS' },
  ];
  return {
    target: {
      config: { url, write_as: writeAs },
      broken,
      supports: ['upsert', 'delete', 'binary', 'undeclared', 'odd-names'],
      refusedNote: 'half \ud83d',
      readBack: async (table, columns, primaryKey) =>
        (writeAs === 'stream' ? folded(await entriesOf(table), primaryKey) : await hashesOf(table)).map((fields) => rowOf(fields, columns)),
      readErrors: async (table) =>
        (await entriesOf(table)).map((fields): ErrorRow => ({
          code: fields['code'] ?? '',
          reason: fields['reason'] ?? '',
          payload: fields['payload'] ?? '',
          origin: JSON.parse(fields['origin'] ?? '{}') as Record<string, unknown>,
        })),
    },
    source: {
      broken: [...broken, { why: 'a stream that is not there', config: { url, stream: 'conformance_nowhere' }, step: 'streams', says: 'conformance_nowhere' }],
      seed: async (stream, rows) => {
        await client.xgroup('CREATE', stream, 'none', '$', 'MKSTREAM');
        await client.xgroup('DESTROY', stream, 'none');
        await append(stream, rows);
        // Ids are milliseconds: what is read from now on must not share one with what was seeded.
        for (const seeded = Date.now(); Date.now() <= seeded;) await client.ping();
        return { config: { url, stream }, stream };
      },
      append,
      unwrap: (row, columns) => {
        const named = new Map(columns.map((column) => [column.name, column]));
        return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'string' ? revived(value, named.get(name)) : value]));
      },
    },
    close: async () => {
      await client.call('ACL', 'DELUSER', user);
      client.disconnect();
    },
  };
};

export const conformance: Conformance = { setup: () => setup('stream') };

const needsKey = 'a hash needs a key';

/** The same for rows as hashes. */
export const hashConformance: Conformance = {
  setup: () => setup('hashes'),
  skip: {
    'takes the stream "append": Without a key every row is kept, equal ones too': needsKey,
    'takes rows of which nothing is declared': needsKey,
    'goes on exactly after the last checkpoint': needsKey,
  },
};
