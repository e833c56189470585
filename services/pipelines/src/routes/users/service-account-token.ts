import { createServiceAccountToken } from '@tributary/contracts/api/users';
import { route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Sessions } from '../../identity/sessions.ts';

export const serviceAccountTokenRoute = (sessions: Sessions, audit: Audit): Route =>
  route(createServiceAccountToken, async (call) => {
    const token = await sessions.serviceAccountToken(userOf(call).userId);
    await audit.record(call, { action: 'user.service-account-token' });
    return { status: 201, body: { access_token: token, token_type: 'bearer' }, headers: { 'Cache-Control': 'no-store' } };
  });
