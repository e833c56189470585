import { listStatus } from '@tributary/contracts/api/pipelines';
import { envOf, route, type Route } from '@tributary/http/route';
import { paged } from '../../paging.ts';
import type { Finder } from '../../pipelines/find.ts';
import { statusView } from '../../pipelines/view.ts';

export const listStatusRoute = (finder: Finder): Route =>
  route(listStatus, async (call) => {
    const page = await paged(call.query, (window) => finder.list(envOf(call), { notDraft: true }, window));
    return { status: 200, body: { ...page, items: page.items.map(statusView) } };
  });
