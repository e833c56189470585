/** What can be done with connections, for every door. */
import { randomBytes, randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import type { ConnectionView } from '@tributary/contracts/api/internal';
import type { Keyring } from '@tributary/secrets/keyring';
import type { ConnectionDoc } from '@tributary/store/connections';
import type { DataKeyDoc } from '@tributary/store/data-keys';
import type { Model } from '@tributary/store/connection';
import { typeName } from '@tributary/connectors/registry';
import { connectorType, keepStoredSecrets, maskedConfig, splitConfig } from './config.ts';

export interface NewConnection {
  readonly id: string;
  readonly envId: string;
  readonly teamId: string | null;
  readonly pipelineId: string | null;
  readonly name: string;
  readonly type: string;
  readonly config: Record<string, unknown>;
  readonly createdBy: string;
}

export interface ListFilter {
  readonly envId: string;
  readonly role: 'source' | 'target';
  readonly search?: string;
  readonly teamId?: string;
  readonly skip: number;
  readonly limit: number;
}

export interface Connections {
  /** Idempotent by id. @throws VALIDATION_FAILED, BAD_REQUEST, CONFLICT when the id is taken by something else. */
  create(connection: NewConnection, field: string): Promise<{ view: ConnectionView; created: boolean }>;
  /** @throws NOT_FOUND, VALIDATION_FAILED, CONFLICT */
  update(id: string, envId: string, change: { readonly name?: string; readonly config?: Record<string, unknown> }, field: string): Promise<ConnectionView>;
  get(id: string, envId: string): Promise<ConnectionView>;
  byName(name: string, envId: string): Promise<ConnectionView>;
  byIds(ids: readonly string[], envId: string): Promise<ConnectionView[]>;
  list(filter: ListFilter): Promise<{ items: ConnectionView[]; total: number }>;
  remove(id: string, envId: string): Promise<boolean>;
  /** All of an environment, with its data key. */
  removeEnvironment(envId: string): Promise<void>;
  /** I6: opened secrets; for workers and tests only. */
  open(id: string, envId: string): Promise<{ id: string; slug: string; role: 'source' | 'target'; version: number; config: Record<string, unknown> }>;
  dataKey(envId: string): Promise<string>;
}

const escapeRegex = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

export const createConnections = (
  stores: { readonly connections: Model<ConnectionDoc>; readonly dataKeys: Model<DataKeyDoc> },
  keyring: Keyring,
): Connections => {
  const { connections } = stores;

  const view = (doc: ConnectionDoc): ConnectionView => ({
    id: doc._id,
    env_id: doc.env_id,
    team_id: doc.team_id,
    name: doc.name,
    type: typeName(doc.slug, doc.role),
    config: maskedConfig(doc.config, Object.keys(doc.sealed)),
    version: doc.version,
    pipeline_id: doc.pipeline_id,
    created_at: doc.created_at.toISOString(),
    updated_at: doc.updated_at.toISOString(),
  });
  const seal = (secret: Record<string, unknown>): Record<string, string> =>
    Object.fromEntries(Object.entries(secret).map(([name, value]) => [name, keyring.seal(JSON.stringify(value))]));
  const unseal = (sealed: Record<string, string>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(sealed).map(([name, token]) => [name, JSON.parse(keyring.open(token)) as unknown]));

  // I7: no look-up without the environment.
  const find = async (id: string, envId: string): Promise<ConnectionDoc> => {
    const doc = await connections.findOne({ _id: id, env_id: envId }).lean<ConnectionDoc>();
    if (doc === null) throw new TributaryError('NOT_FOUND', `There is no connector ${id} in your environment.`);
    return doc;
  };

  return {
    create: async (given, field) => {
      const existing = await connections.findOne({ _id: given.id }).lean<ConnectionDoc>();
      if (existing !== null) {
        if (existing.env_id !== given.envId || existing.name !== given.name) throw new TributaryError('CONFLICT', `The id ${given.id} is in use.`);
        return { view: view(existing), created: false };
      }
      const type = await connectorType(given.type);
      const { open, secret } = splitConfig(type.schema, given.config, field);
      const now = new Date();
      const doc: ConnectionDoc = {
        _id: given.id,
        env_id: given.envId,
        team_id: given.teamId,
        pipeline_id: given.pipelineId,
        name: given.name,
        slug: type.slug,
        role: type.role,
        config: open,
        sealed: seal(secret),
        version: 1,
        created_by: given.createdBy,
        created_at: now,
        updated_at: now,
      };
      await connections.create(doc);
      return { view: view(doc), created: true };
    },

    update: async (id, envId, change, field) => {
      const doc = await find(id, envId);
      const set: Partial<ConnectionDoc> = { updated_at: new Date() };
      if (change.name !== undefined) set.name = change.name;
      if (change.config !== undefined) {
        const type = await connectorType(typeName(doc.slug, doc.role));
        const { open, secret } = splitConfig(type.schema, keepStoredSecrets(type.schema, change.config, unseal(doc.sealed)), field);
        set.config = open;
        set.sealed = seal(secret);
      }
      const updated = await connections
        .findOneAndUpdate({ _id: id, env_id: envId, version: doc.version }, { $set: set, $inc: { version: 1 } }, { returnDocument: 'after' })
        .lean<ConnectionDoc>();
      if (updated === null) throw new TributaryError('CONFLICT', `Somebody else changed the connector ${id} at the same time; read it again and retry.`);
      return view(updated);
    },

    get: async (id, envId) => view(await find(id, envId)),

    byName: async (name, envId) => {
      const doc = await connections.findOne({ name, env_id: envId }).sort({ created_at: 1 }).lean<ConnectionDoc>();
      if (doc === null) throw new TributaryError('NOT_FOUND', `There is no connector named "${name}" in your environment.`);
      return view(doc);
    },

    byIds: async (ids, envId) => (await connections.find({ _id: { $in: [...ids] }, env_id: envId }).lean<ConnectionDoc[]>()).map(view),

    list: async (filter) => {
      const where = {
        env_id: filter.envId,
        role: filter.role,
        ...(filter.teamId === undefined ? {} : { team_id: filter.teamId }),
        ...(filter.search === undefined ? {} : { name: { $regex: escapeRegex(filter.search), $options: 'i' } }),
      };
      const [docs, total] = await Promise.all([
        connections.find(where).sort({ created_at: -1, _id: 1 }).skip(filter.skip).limit(filter.limit).lean<ConnectionDoc[]>(),
        connections.countDocuments(where),
      ]);
      return { items: docs.map(view), total };
    },

    remove: async (id, envId) => (await connections.deleteOne({ _id: id, env_id: envId })).deletedCount > 0,

    removeEnvironment: async (envId) => {
      await stores.connections.deleteMany({ env_id: envId });
      await stores.dataKeys.deleteOne({ _id: envId });
    },

    open: async (id, envId) => {
      const doc = await find(id, envId);
      return { id: doc._id, slug: doc.slug, role: doc.role, version: doc.version, config: { ...doc.config, ...unseal(doc.sealed) } };
    },

    dataKey: async (envId) => {
      const fresh = { sealed: keyring.seal(randomBytes(32).toString('base64')), created_at: new Date() };
      // The first of several at once wins; all answer its key.
      await stores.dataKeys.updateOne({ _id: envId }, { $setOnInsert: fresh }, { upsert: true });
      const doc = await stores.dataKeys.findOne({ _id: envId }).lean<DataKeyDoc>();
      if (doc === null) throw new TributaryError('NOT_FOUND', `The environment ${envId} has no key.`);
      return keyring.open(doc.sealed);
    },
  };
};

export const newConnectionId = (): string => randomUUID();
