import { register } from '@tributary/contracts/api/auth';
import { route, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Accounts } from '../../identity/accounts.ts';

export const registerRoute = (accounts: Accounts, audit: Audit): Route =>
  route(register, async (call) => {
    // A stranger's is_superuser and is_verified are not looked at.
    const user = await accounts.create({ email: call.body.email, password: call.body.password, isActive: call.body.is_active });
    await audit.record(call, { action: 'user.register', subject: { kind: 'user', id: user.id }, userId: user.id, email: user.email });
    return { status: 201, body: user };
  });
