/** One key per environment for encrypted columns, sealed. Owned by the connectors service. */
import { Schema, type Connection, type Model } from 'mongoose';

export interface DataKeyDoc {
  /** The environment's id. */
  _id: string;
  sealed: string;
  created_at: Date;
}

export const dataKeysModel = (connection: Connection): Model<DataKeyDoc> =>
  connection.model<DataKeyDoc>(
    'data-key',
    new Schema<DataKeyDoc>(
      { _id: { type: String, required: true }, sealed: { type: String, required: true }, created_at: { type: Date, required: true } },
      { collection: 'data_keys', versionKey: false },
    ),
  );
