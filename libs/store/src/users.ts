/** Accounts. Owned by the pipelines service. */
import { Schema, type Connection, type Model } from 'mongoose';

export interface UserDoc {
  _id: string;
  email: string;
  /** The email in lower case: what is unique. */
  email_key: string;
  /** argon2id, in PHC format. */
  password_hash: string;
  is_active: boolean;
  is_superuser: boolean;
  is_verified: boolean;
  active_env_id: string | null;
  /** Failed logins in a row since the last success or lock. */
  failed_logins: number;
  locked_until: Date | null;
  /** Carried by session tokens; growing it ends them all. */
  session_generation: number;
  created_at: Date;
  updated_at: Date;
}

export const usersModel = (connection: Connection): Model<UserDoc> => {
  const schema = new Schema<UserDoc>(
    {
      _id: { type: String, required: true },
      email: { type: String, required: true },
      email_key: { type: String, required: true },
      password_hash: { type: String, required: true },
      is_active: { type: Boolean, required: true },
      is_superuser: { type: Boolean, required: true },
      is_verified: { type: Boolean, required: true },
      active_env_id: { type: String, default: null },
      failed_logins: { type: Number, default: 0 },
      locked_until: { type: Date, default: null },
      session_generation: { type: Number, default: 0 },
      created_at: { type: Date, required: true },
      updated_at: { type: Date, required: true },
    },
    { collection: 'users', versionKey: false },
  );
  schema.index({ email_key: 1 }, { unique: true });
  return connection.model<UserDoc>('user', schema);
};
