import { deleteUser } from '@tributary/contracts/api/users';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Accounts } from '../../identity/accounts.ts';

export const deleteUserRoute = (accounts: Accounts, audit: Audit): Route =>
  route(deleteUser, async (call) => {
    await accounts.remove(userOf(call), call.params.id);
    await audit.record(call, { action: 'user.delete', subject: { kind: 'user', id: call.params.id } });
    return { status: 204 };
  });
