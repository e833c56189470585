import { listUsers } from '@tributary/contracts/api/users';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Accounts } from '../../identity/accounts.ts';
import { paged } from '../../paging.ts';

export const listUsersRoute = (accounts: Accounts): Route =>
  route(listUsers, async (call) => ({
    status: 200,
    body: await paged(call.query, (window) => accounts.list(userOf(call), { search: call.query.search, ...window })),
  }));
