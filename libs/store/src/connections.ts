/** Connections: configured connectors with sealed secrets. Owned by the connectors service. */
import { Schema, type Connection, type Model } from 'mongoose';

export interface ConnectionDoc {
  _id: string;
  env_id: string;
  team_id: string | null;
  /** Made by and deleted with this pipeline. */
  pipeline_id: string | null;
  name: string;
  /** Connector's slug: `kafka`. */
  slug: string;
  role: 'source' | 'target';
  /** The config without its secret fields. */
  config: Record<string, unknown>;
  /** Secret field → sealed JSON of its value (I6: never opened but for a worker or a test). */
  sealed: Record<string, string>;
  version: number;
  created_by: string;
  created_at: Date;
  updated_at: Date;
}

export const connectionsModel = (connection: Connection): Model<ConnectionDoc> => {
  const schema = new Schema<ConnectionDoc>(
    {
      _id: { type: String, required: true },
      env_id: { type: String, required: true },
      team_id: { type: String, default: null },
      pipeline_id: { type: String, default: null },
      name: { type: String, required: true },
      slug: { type: String, required: true },
      role: { type: String, required: true },
      config: { type: Schema.Types.Mixed, required: true },
      sealed: { type: Schema.Types.Mixed, default: {} },
      version: { type: Number, required: true },
      created_by: { type: String, required: true },
      created_at: { type: Date, required: true },
      updated_at: { type: Date, required: true },
    },
    { collection: 'connections', versionKey: false, minimize: false },
  );
  schema.index({ env_id: 1, role: 1, created_at: -1 });
  schema.index({ env_id: 1, name: 1 });
  return connection.model<ConnectionDoc>('connection', schema);
};
