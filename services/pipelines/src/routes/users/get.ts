import { getUser } from '@tributary/contracts/api/users';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Accounts } from '../../identity/accounts.ts';

export const getUserRoute = (accounts: Accounts): Route =>
  route(getUser, async (call) => ({ status: 200, body: await accounts.get(userOf(call), call.params.id) }));
