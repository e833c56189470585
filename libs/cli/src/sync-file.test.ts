import { expect, test } from 'vitest';
import { parseSyncFile } from './sync-file.ts';
import { subscriptionId } from './subscription-id.ts';

const whole = `
source:
  type: postgresql
  stream: orders
  config:
    host: \${DB_HOST}
    port: \${DB_PORT:-5433}
    database: shop
    user: reader
    password: \${DB_PASSWORD}
target:
  type: DUCKDB_TARGET
  table: orders
  config:
    path: shop.duckdb
    memory_limit_mb: \${MEMORY}
mapper:
  - { key: id, path: $.id, cast: int, primary_key: true }
`;
const environment = { DB_HOST: 'db.example.org', DB_PASSWORD: 's3cret-word', MEMORY: '256' };
const parse = (text: string, env: Record<string, string> = environment) => parseSyncFile('shop/orders.yaml', text, env);

test('values come from the environment, as the type the field takes', async () => {
  const file = await parse(whole);
  expect(file.source.config).toMatchObject({ host: 'db.example.org', port: 5433, password: 's3cret-word', schema: 'public' });
  expect(file.target.config).toMatchObject({ memory_limit_mb: 256 });
  expect(file).toMatchObject({ name: 'orders', stream: 'orders', table: 'orders', backfill: true, errorTable: 'orders_errors' });
});

test('what came from the environment and what is secret is hidden', async () => {
  const { hidden } = await parse(whole);
  expect(hidden).toContainEqual({ text: 's3cret-word', shownAs: '«redacted»', isSecret: true });
  expect(hidden).toContainEqual({ text: 'db.example.org', shownAs: '${DB_HOST}', isSecret: false });
});

test('a missing variable is named with path and line, and `$${` is no reference', async () => {
  await expect(parse(whole, { DB_HOST: 'h', MEMORY: '256' })).rejects.toMatchObject({
    code: 'SETTING_INVALID',
    message: 'shop/orders.yaml:10: source.config.password: the environment variable DB_PASSWORD is not set.',
  });
  const file = await parse(whole.replace('${DB_PASSWORD}', () => '$${DB_PASSWORD}'));
  expect(file.source.config['password']).toBe('${DB_PASSWORD}');
});

test.for([
  ['source:\n  type: file\n', 'orders.yaml:1: target: is required.'],
  [whole.replace('host: ${DB_HOST}', 'hots: x'), 'orders.yaml:5: source.config.host: is required.'],
  [whole.replace('host: ${DB_HOST}', 'hots: x'), 'orders.yaml:6: source.config.hots: there is no such setting.'],
  [whole.replace('host: ${DB_HOST}', 'host:'), 'orders.yaml:6: source.config.host: is empty; give it a value.'],
  [whole.replace('cast: int', 'cast: integer'), 'orders.yaml:18: mapper[0].cast: '],
  [whole.replace('type: postgresql', 'type: postgrse'), 'orders.yaml:3: source.type: there is no connector "postgrse". Known: datagen,'],
  [whole.replace('DUCKDB_TARGET', 'POSTGRESQL_SOURCE'), 'orders.yaml:12: target.type: "POSTGRESQL_SOURCE" is not a target'],
  [whole.replace('DUCKDB_TARGET', 'datagen'), 'orders.yaml:12: target.type: "datagen" is not a target'],
  ['source: {type: file\ntarget: 1\n', 'this is not valid YAML'],
  ['a: 1\na: 2\n', 'orders.yaml:2: this is not valid YAML'],
  ['- 1\n', 'must be a mapping'],
  ['', 'must be a mapping'],
  [`id: a b\n${whole}`, 'orders.yaml:1: id: must be up to 32'],
] as const)('%#: what is wrong is said with line and path', async ([text, message]) => {
  await expect(parse(text)).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(message) });
});

test('a message never holds a value of the configuration', async () => {
  const error: unknown = await parse(whole.replace('memory_limit_mb: ${MEMORY}', 'memory_limit_mb: ${DB_PASSWORD}')).catch((thrown: unknown) => thrown);
  expect(String(error)).toContain('target.config.memory_limit_mb');
  expect(String(error)).not.toContain('s3cret-word');
});

test('the error table can be named or left out', async () => {
  expect((await parse(`${whole}\nerror_table: bad`)).errorTable).toBe('bad');
  expect((await parse(`${whole}\nerror_table: null`)).errorTable).toBeNull();
});

test('the id stays for what says how data is reached, and differs for other data', async () => {
  const id = async (text: string, env = environment): Promise<string> => subscriptionId(await parse(text, env));
  const first = await id(whole);
  expect(first).toMatch(/^sync-[0-9a-f]{20}$/);
  for (const same of [
    whole.replace('user: reader', 'user: other'),
    whole.replace('database: shop', 'database: shop\n    schema: public\n    connection_timeout: 3'),
    whole.replace('key: id', 'key: number'),
  ])
    expect(await id(same)).toBe(first);
  expect(await id(whole, { ...environment, DB_PASSWORD: 'another' })).toBe(first);
  for (const other of [
    whole.replace('database: shop', 'database: shop2'),
    whole.replace('stream: orders', 'stream: lines'),
    whole.replace('table: orders', 'table: o'),
  ])
    expect(await id(other)).not.toBe(first);
  expect(await id(whole, { ...environment, DB_HOST: 'elsewhere' })).not.toBe(first);
  expect(await id(`id: mine\n${whole}`)).toBe('mine');
});
