/** What is known of single tokens: sessions that were ended, and service account tokens that are good. Owned by the pipelines service. */
import { Schema, type Connection, type Model } from 'mongoose';

export interface TokenDoc {
  /** `ended`: the session token's jti. `service-account`: the token's SHA-256, so that a copy of the database opens nothing. */
  _id: string;
  kind: 'ended' | 'service-account';
  user_id: string;
  created_at: Date;
  /** An ended session may be forgotten once its token has expired by itself; null: kept. */
  expires_at: Date | null;
}

export const tokensModel = (connection: Connection): Model<TokenDoc> => {
  const schema = new Schema<TokenDoc>(
    {
      _id: { type: String, required: true },
      kind: { type: String, required: true },
      user_id: { type: String, required: true },
      created_at: { type: Date, required: true },
      expires_at: { type: Date, default: null },
    },
    { collection: 'tokens', versionKey: false },
  );
  schema.index({ expires_at: 1 }, { expireAfterSeconds: 0 });
  schema.index({ user_id: 1, kind: 1 });
  return connection.model<TokenDoc>('token', schema);
};
