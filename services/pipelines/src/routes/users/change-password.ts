import { changePassword } from '@tributary/contracts/api/users';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Sessions } from '../../identity/sessions.ts';

export const changePasswordRoute = (sessions: Sessions, audit: Audit): Route =>
  route(changePassword, async (call) => {
    await sessions.changePassword(userOf(call).userId, call.body.current_password, call.body.new_password);
    await audit.record(call, { action: 'user.change-password' });
    return { status: 204 };
  });
