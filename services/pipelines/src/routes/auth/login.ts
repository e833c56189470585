import { login } from '@tributary/contracts/api/auth';
import { route, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Sessions } from '../../identity/sessions.ts';

export const loginRoute = (sessions: Sessions, audit: Audit): Route =>
  route(login, async (call) => {
    const email = call.body.username;
    try {
      const { token, userId } = await sessions.login(email, call.body.password);
      await audit.record(call, { action: 'user.login', userId, email });
      return { status: 200, body: { access_token: token, token_type: 'bearer' }, headers: { 'Cache-Control': 'no-store' } };
    } catch (error) {
      await audit.record(call, { action: 'user.login', outcome: 'refused', email });
      throw error;
    }
  });
