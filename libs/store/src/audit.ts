/** Who did what, when, where. Written once, never changed. Owned by the pipelines service. */
import { Schema, type Connection, type Model } from 'mongoose';

export interface AuditDoc {
  _id: string;
  at: Date;
  /** `pipeline.start`, `user.login`, … */
  action: string;
  outcome: 'done' | 'refused';
  user_id: string | null;
  /** As given, where nobody is known by it yet. */
  email: string | null;
  env_id: string | null;
  /** What it was done to; names, never secrets (I6). */
  subject: { kind: string; id: string; name: string | null } | null;
  ip: string;
  request_id: string;
}

export const auditModel = (connection: Connection): Model<AuditDoc> => {
  const schema = new Schema<AuditDoc>(
    {
      _id: { type: String, required: true },
      at: { type: Date, required: true },
      action: { type: String, required: true },
      outcome: { type: String, required: true },
      user_id: { type: String, default: null },
      email: { type: String, default: null },
      env_id: { type: String, default: null },
      subject: { type: Schema.Types.Mixed, default: null },
      ip: { type: String, default: '' },
      request_id: { type: String, default: '' },
    },
    { collection: 'audit', versionKey: false },
  );
  schema.index({ env_id: 1, at: -1 });
  schema.index({ user_id: 1, at: -1 });
  return connection.model<AuditDoc>('audit', schema);
};
