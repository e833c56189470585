/** The newest command for each pipeline: what its slots are made from, and what older or repeated commands are told apart by. Owned by the worker service. */
import { Schema, type Connection, type Model } from 'mongoose';
import { isDuplicateKey } from './duplicate.ts';

export interface PipelineOrderDoc {
  /** The pipeline's id. */
  _id: string;
  env_id: string;
  /** `seq` of the command. */
  seq: number;
  order: 'start' | 'pause' | 'delete';
  generation: number;
  /** Of the newest start. */
  version: number;
  subscriptions: { subscription_id: string; slices: number }[];
  at: Date;
  /** The highest `seq` and epoch of slots that were removed while the pipeline was unknown: should it come back, theirs go on from there. */
  floor?: number;
}

export const pipelineOrdersModel = (connection: Connection): Model<PipelineOrderDoc> => {
  const schema = new Schema<PipelineOrderDoc>(
    {
      _id: { type: String, required: true },
      env_id: { type: String, required: true },
      seq: { type: Number, required: true },
      order: { type: String, required: true },
      generation: { type: Number, required: true },
      version: { type: Number, default: 0 },
      subscriptions: { type: [Schema.Types.Mixed], default: [] },
      at: { type: Date, required: true },
      floor: { type: Number },
    } as never,
    { collection: 'pipeline_orders', versionKey: false },
  );
  return connection.model<PipelineOrderDoc>('pipeline-order', schema);
};

/** Keeps the order if it is newer than what is known, and gives the newest one. */
export const keepOrder = async (
  model: Model<PipelineOrderDoc>,
  id: string,
  seq: number,
  fields: Omit<PipelineOrderDoc, '_id' | 'seq' | 'version' | 'subscriptions' | 'floor'> & Partial<Pick<PipelineOrderDoc, 'version' | 'subscriptions'>>,
): Promise<PipelineOrderDoc> => {
  try {
    await model.collection.updateOne({ _id: id, seq: { $lt: seq } } as never, { $set: { ...fields, seq } }, { upsert: true });
  } catch (error) {
    // The order that is there is not older, so there was nothing to update and the insert met it.
    if (!isDuplicateKey(error)) throw error;
  }
  return (await model.collection.findOne({ _id: id } as never)) as unknown as PipelineOrderDoc;
};
