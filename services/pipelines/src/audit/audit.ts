/** The audit log: every change and every login, with who, what, when, where. */
import { randomUUID } from 'node:crypto';
import type { Caller } from '@tributary/http/caller';
import type { AuditDoc } from '@tributary/store/audit';
import type { Model } from '@tributary/store/connection';

interface Circumstances {
  readonly caller: Caller;
  readonly ip: string;
  readonly requestId: string;
}

interface Entry {
  readonly action: string;
  readonly subject?: { readonly kind: string; readonly id: string; readonly name?: string };
  readonly outcome?: 'done' | 'refused';
  /** Overrides the caller's, for what a stranger does: registering, logging in. */
  readonly userId?: string | null;
  readonly email?: string;
  readonly envId?: string | null;
}

export interface Audit {
  record(call: Circumstances, entry: Entry): Promise<void>;
}

export const createAudit = (model: Model<AuditDoc>): Audit => ({
  record: async (call, entry) => {
    const user = call.caller.kind === 'user' ? call.caller : null;
    await model.create({
      _id: randomUUID(),
      at: new Date(),
      action: entry.action,
      outcome: entry.outcome ?? 'done',
      user_id: entry.userId ?? user?.userId ?? null,
      email: entry.email ?? user?.email ?? null,
      env_id: entry.envId ?? user?.envId ?? null,
      subject: entry.subject === undefined ? null : { kind: entry.subject.kind, id: entry.subject.id, name: entry.subject.name ?? null },
      ip: call.ip,
      request_id: call.requestId,
    });
  },
});
