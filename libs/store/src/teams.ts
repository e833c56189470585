/** Teams of an environment and their members. Owned by the pipelines service. */
import { Schema, type Connection, type Model } from 'mongoose';
import { membershipSchema, type Membership } from './environments.ts';

export interface TeamDoc {
  _id: string;
  env_id: string;
  name: string;
  description: string | null;
  members: Membership[];
  created_at: Date;
  updated_at: Date;
}

export const teamsModel = (connection: Connection): Model<TeamDoc> => {
  const schema = new Schema<TeamDoc>(
    {
      _id: { type: String, required: true },
      env_id: { type: String, required: true },
      name: { type: String, required: true },
      description: { type: String, default: null },
      members: { type: [membershipSchema], default: [] },
      created_at: { type: Date, required: true },
      updated_at: { type: Date, required: true },
    },
    { collection: 'teams', versionKey: false },
  );
  schema.index({ env_id: 1, name: 1 }, { unique: true });
  schema.index({ env_id: 1, 'members.user_id': 1 });
  return connection.model<TeamDoc>('team', schema);
};
