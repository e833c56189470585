import { logout } from '@tributary/contracts/api/auth';
import { route, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Sessions } from '../../identity/sessions.ts';

export const logoutRoute = (sessions: Sessions, audit: Audit): Route =>
  route(logout, async (call) => {
    if (call.token !== null) await sessions.logout(call.token);
    await audit.record(call, { action: 'user.logout' });
    return { status: 204 };
  });
