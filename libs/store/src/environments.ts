/** Environments, the tenants, and who belongs to them. Owned by the pipelines service. */
import { Schema, type Connection, type Model } from 'mongoose';

export interface Membership {
  user_id: string;
  role: 'owner' | 'member';
}

export interface EnvironmentDoc {
  _id: string;
  name: string;
  description: string | null;
  use_retention: boolean;
  members: Membership[];
  created_at: Date;
  updated_at: Date;
}

export const membershipSchema = new Schema<Membership>({ user_id: { type: String, required: true }, role: { type: String, required: true } }, { _id: false });

export const environmentsModel = (connection: Connection): Model<EnvironmentDoc> => {
  const schema = new Schema<EnvironmentDoc>(
    {
      _id: { type: String, required: true },
      name: { type: String, required: true },
      description: { type: String, default: null },
      use_retention: { type: Boolean, required: true },
      members: { type: [membershipSchema], default: [] },
      created_at: { type: Date, required: true },
      updated_at: { type: Date, required: true },
    },
    { collection: 'environments', versionKey: false },
  );
  schema.index({ name: 1 }, { unique: true });
  schema.index({ 'members.user_id': 1 });
  return connection.model<EnvironmentDoc>('environment', schema);
};
