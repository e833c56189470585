import { getMe } from '@tributary/contracts/api/users';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Accounts } from '../../identity/accounts.ts';

export const getMeRoute = (accounts: Accounts): Route =>
  route(getMe, async (call) => ({ status: 200, body: await accounts.get(userOf(call), userOf(call).userId) }));
