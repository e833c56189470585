import { resolveIdentity } from '@tributary/contracts/api/internal';
import { route, type Route } from '@tributary/http/route';
import type { Sessions } from '../../identity/sessions.ts';

export const identityRoute = (sessions: Sessions): Route =>
  route(resolveIdentity, async (call) => ({ status: 200, body: await sessions.identify(call.body.token) }));
