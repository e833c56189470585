/** Rejected rows beside the data, each once. */
import type { RejectedRow } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { nameProblem, qualified } from './identifiers.ts';
import { changeTables } from './transaction.ts';

export const createErrorTable = async (session: Session, schema: string, table: string): Promise<void> => {
  const problem = nameProblem(table);
  if (problem !== null) throw new TributaryError('SCHEMA_CONFLICT', `"${table}" cannot name the error table in PostgreSQL: ${problem}.`);
  const name = qualified(schema, table);
  const there = async (): Promise<boolean> => (await session.query<{ there: string }>('select to_regclass($1) is not null as there', [name]))[0]?.there === 't';
  if (await there()) return;
  await changeTables(session, name, async () => {
    if (await there()) return;
    await session.query(
      `create table ${name} (
         id bigint generated always as identity primary key, subscription_id text not null, code text not null, reason text not null,
         payload text not null, origin jsonb not null, rejected_at timestamptz not null default now())`,
    );
    // One record may give several rows, so the payload belongs to the key; reading a record again changes nothing.
    await session.query(`create unique index on ${name} (subscription_id, origin, code, md5(payload))`);
  });
};

/** To be called in the transaction that writes the rows. */
export const writeRejected = async (session: Session, schema: string, table: string, subscriptionId: string, rows: readonly RejectedRow[]): Promise<void> => {
  if (rows.length === 0) return;
  await session.query(
    `insert into ${qualified(schema, table)} (subscription_id, code, reason, payload, origin)
     select $1, r.code, r.reason, r.payload, r.origin from unnest($2::text[], $3::text[], $4::text[], $5::jsonb[]) as r (code, reason, payload, origin)
     on conflict do nothing`,
    [
      subscriptionId,
      rows.map((row) => row.code),
      rows.map((row) => storable(row.reason)),
      rows.map((row) => storable(row.payload)),
      rows.map((row) => JSON.stringify(row.origin)),
    ],
  );
};

/** No text in PostgreSQL holds a NUL; the escape shows where one was. */
const storable = (text: string): string => text.replaceAll('\0', '\\u0000');
