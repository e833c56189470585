/** Rejected rows beside the data, each once. */
import { createHash } from 'node:crypto';
import type { RejectedRow } from '@tributary/contracts/ops';
import { TributaryError } from '@tributary/errors/error';
import type { Session } from './connect.ts';
import { nameProblem, quoteName, quoteText } from './identifiers.ts';
import { engineOf, requireTransactions } from './table-shape.ts';
import { changeTables } from './transaction.ts';

export const createErrorTable = async (session: Session, database: string, table: string): Promise<void> => {
  const problem = nameProblem(table);
  if (problem !== null) throw new TributaryError('SCHEMA_CONFLICT', `"${table}" cannot name the error table in MySQL: ${problem}.`);
  let engine = await engineOf(session, table);
  if (engine === null) {
    await changeTables(session, database, table, async () => {
      await session.query(
        `create table if not exists ${quoteName(table)} (
           id bigint not null auto_increment primary key, subscription_id varchar(255) not null, code varchar(64) not null, reason longtext not null,
           payload longtext not null, origin longtext not null, rejected_at timestamp(6) not null default current_timestamp(6),
           digest binary(32) not null comment 'SHA-256 of subscription, origin, code and payload', unique key (digest))
         engine = InnoDB row_format = dynamic character set utf8mb4 collate utf8mb4_bin`,
      );
    });
    engine = await engineOf(session, table);
  }
  requireTransactions(table, engine);
};

/** Statements of about this many characters. */
const statementLength = 512 * 1024;

/** To be called in the transaction that writes the rows. */
export const writeRejected = async (session: Session, table: string, subscriptionId: string, rows: readonly RejectedRow[]): Promise<void> => {
  let values: string[] = [];
  let length = 0;
  const flush = async (): Promise<void> => {
    if (values.length === 0) return;
    // Reading a record again changes nothing.
    await session.run(
      `insert into ${quoteName(table)} (subscription_id, code, reason, payload, origin, digest) values ${values.join(', ')} on duplicate key update id = id`,
    );
    values = [];
    length = 0;
  };
  for (const { code, reason, payload, origin } of rows) {
    const where = JSON.stringify(origin);
    // One record may give several rows, so the payload belongs to the key.
    const digest = createHash('sha256')
      .update(JSON.stringify([subscriptionId, where, code, payload]))
      .digest('hex');
    const texts = [subscriptionId, code, reason, payload, where].map((text) => quoteText(text.toWellFormed()));
    const value = `(${texts.join(', ')}, x'${digest}')`;
    values.push(value);
    length += value.length;
    if (length >= statementLength) await flush();
  }
  await flush();
};
