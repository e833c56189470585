import { randomBytes } from 'node:crypto';
import { processMapper } from '@tributary/contracts/api/smt';
import type { Row, Value } from '@tributary/contracts/types';
import { route, type Route } from '@tributary/http/route';
import { checkMapper } from '../../pipelines/mapper-check.ts';

/** As JSON can hold it: long integers as text, bytes as base64. */
const shown = (value: Value): unknown => {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(shown);
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shown(inner)])) : value;
};

export const processMapperRoute = (): Route =>
  route(processMapper, async ({ body }) => {
    await checkMapper(body.mapper_config, 'mapper_config');
    const { compileMapper } = await import('@tributary/engine/mapper/compile');
    // Encrypted columns are shown under a key that is thrown away: nobody learns anything of the environment's own.
    const mapper = compileMapper(body.mapper_config, { encryptionKey: randomBytes(32) });
    const rows: Row[] = [];
    const rejected: { message: number; code: string; reason: string }[] = [];
    let filtered = 0;
    for (const [index, message] of body.messages.entries()) {
      const before = rows.length;
      if (!mapper.map(message as Row, 'upsert', rows)) rejected.push({ message: index, ...mapper.rejection() });
      else if (rows.length === before) filtered += 1;
    }
    return { status: 200, body: { rows: rows.map(shown), rejected, filtered } };
  });
