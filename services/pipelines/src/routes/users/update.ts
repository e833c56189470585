import { updateUser } from '@tributary/contracts/api/users';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Accounts } from '../../identity/accounts.ts';

export const updateUserRoute = (accounts: Accounts, audit: Audit): Route =>
  route(updateUser, async (call) => {
    const user = await accounts.update(userOf(call), call.params.id, call.body);
    await audit.record(call, { action: 'user.update', subject: { kind: 'user', id: user.id } });
    return { status: 200, body: user };
  });
