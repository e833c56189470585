/** The workers that live, by their heartbeats, and which of them reconciles. Owned by the worker service. */
import { Schema, type Connection, type Model } from 'mongoose';
import { isDuplicateKey } from './duplicate.ts';

export interface WorkerDoc {
  _id: string;
  host: string;
  pid: number;
  /** Slots it can run at once; 0 while it starts or stops. */
  capacity: number;
  held: number;
  started_at: Date;
  /** By the store's clock. */
  beat_at: Date;
}

export const workersModel = (connection: Connection): Model<WorkerDoc> =>
  connection.model<WorkerDoc>(
    'worker',
    new Schema<WorkerDoc>(
      {
        _id: { type: String, required: true },
        host: { type: String, required: true },
        pid: { type: Number, required: true },
        capacity: { type: Number, required: true },
        held: { type: Number, required: true },
        started_at: { type: Date, required: true },
        beat_at: { type: Date, required: true },
      },
      { collection: 'workers', versionKey: false },
    ),
  );

/** A worker that has not beaten for so long counts as dead. */
export const workerSilenceMs = 5000;

export const beat = async (model: Model<WorkerDoc>, worker: WorkerDoc): Promise<void> => {
  const { _id, ...fields } = worker;
  await model.collection.updateOne({ _id } as never, { $set: fields }, { upsert: true });
};

export const liveWorkers = async (model: Model<WorkerDoc>, now: Date): Promise<WorkerDoc[]> =>
  (await model.collection.find({ beat_at: { $gt: new Date(now.getTime() - workerSilenceMs) } }).toArray()) as unknown as WorkerDoc[];

export const leave = async (model: Model<WorkerDoc>, id: string): Promise<void> => {
  await model.collection.deleteOne({ _id: id } as never);
};

/** Forgets workers that died without leaving. */
export const forgetDead = async (model: Model<WorkerDoc>, now: Date): Promise<void> => {
  await model.collection.deleteMany({ beat_at: { $lt: new Date(now.getTime() - 3_600_000) } });
};

export interface RoleDoc {
  /** `reconciler` */
  _id: string;
  holder: string;
  expires_at: Date;
}

export const rolesModel = (connection: Connection): Model<RoleDoc> =>
  connection.model<RoleDoc>(
    'worker-role',
    new Schema<RoleDoc>(
      { _id: { type: String, required: true }, holder: { type: String, required: true }, expires_at: { type: Date, required: true } },
      { collection: 'worker_roles', versionKey: false },
    ),
  );

/** Takes or keeps a role that one process has at a time. */
export const holdRole = async (model: Model<RoleDoc>, role: string, holder: string, now: Date, ttlMs: number): Promise<boolean> => {
  try {
    await model.collection.updateOne(
      { _id: role, $or: [{ holder }, { expires_at: { $lt: now } }] } as never,
      { $set: { holder, expires_at: new Date(now.getTime() + ttlMs) } },
      { upsert: true },
    );
    return true;
  } catch (error) {
    if (isDuplicateKey(error)) return false;
    throw error;
  }
};

export const leaveRole = async (model: Model<RoleDoc>, role: string, holder: string): Promise<void> => {
  await model.collection.deleteOne({ _id: role, holder } as never);
};
