/**
 * Connections that a pipeline may be about to need or to leave behind: noted before the other service is asked,
 * settled afterwards. What a crash leaves here is looked at again, so no connection outlives its pipeline.
 * Owned by the pipelines service.
 */
import { Schema, type Connection, type Model } from 'mongoose';

export interface ConnectionClaimDoc {
  /** The connection's id. */
  _id: string;
  env_id: string;
  at: Date;
}

export const connectionClaimsModel = (connection: Connection): Model<ConnectionClaimDoc> => {
  const schema = new Schema<ConnectionClaimDoc>(
    { _id: { type: String, required: true }, env_id: { type: String, required: true }, at: { type: Date, required: true } },
    { collection: 'connection_claims', versionKey: false },
  );
  schema.index({ at: 1 });
  return connection.model<ConnectionClaimDoc>('connection-claim', schema);
};
