/** One page of connectors of a role, in the shape of every list. */
import { pageWindow, type pageQuery } from '@tributary/contracts/api/endpoint';
import type { z } from 'zod';
import type { Connections } from '../../connections/connections.ts';
import { shown } from './shown.ts';

export const connectorPage = async (
  connections: Connections,
  envId: string,
  role: 'source' | 'target',
  query: z.output<typeof pageQuery> & { readonly search?: string | undefined; readonly team_id?: string | undefined },
): Promise<{ status: number; body: unknown }> => {
  const { skip, limit, page } = pageWindow(query);
  const { items, total } = await connections.list({
    envId,
    role,
    skip,
    limit,
    ...(query.search === undefined ? {} : { search: query.search }),
    ...(query.team_id === undefined ? {} : { teamId: query.team_id }),
  });
  return { status: 200, body: { items: items.map(shown), total, page, size: limit, pages: Math.ceil(total / limit) } };
};
