/** The connectors service, as pipelines need it: their source and target connections. */
import { TributaryError } from '@tributary/errors/error';
import {
  deleteConnection,
  deleteEnvironmentConnections,
  getConnection,
  getConnections,
  patchConnection,
  putConnection,
  type ConnectionView,
} from '@tributary/contracts/api/internal';
import type { ServiceClient } from '@tributary/http/service-client';

export type Side = 'source' | 'target';

export interface NewConnection {
  readonly id: string;
  readonly envId: string;
  readonly teamId: string;
  readonly pipelineId: string;
  readonly name: string;
  readonly type: string;
  readonly config: Record<string, unknown>;
  readonly createdBy: string;
}

export interface Connectors {
  /** Idempotent by id. @throws VALIDATION_FAILED naming fields as `source_config.topic`. */
  create(side: Side, connection: NewConnection): Promise<ConnectionView>;
  change(side: Side, id: string, envId: string, change: { readonly name?: string; readonly config?: Record<string, unknown> }): Promise<ConnectionView>;
  get(id: string, envId: string): Promise<ConnectionView>;
  byIds(ids: readonly string[], envId: string): Promise<Map<string, ConnectionView>>;
  /** Whether or not it was there. */
  remove(id: string, envId: string): Promise<void>;
  /** All connections of an environment. */
  removeAll(envId: string): Promise<void>;
}

interface FieldError {
  readonly loc: readonly (string | number)[];
}

/** The other service names `body.config.topic`; our client wrote `source_config.topic`. */
const withFieldsOf = async <T>(side: Side, call: Promise<T>): Promise<T> => {
  try {
    return await call;
  } catch (error) {
    const fields = error instanceof TributaryError ? error.details['fields'] : undefined;
    if (!(error instanceof TributaryError) || !Array.isArray(fields)) throw error;
    const renamed = (fields as FieldError[]).map((field) => ({ ...field, loc: ['body', `${side}_${field.loc[1]}`, ...field.loc.slice(2)] }));
    throw new TributaryError(error.code, `The ${side} is not valid.`, { cause: error, status: error.status, details: { fields: renamed } });
  }
};

const masks: readonly unknown[] = ['<redacted>', '****'];

/** A mask stands for a value that is stored; in a new connection there is none, so it counts as left out. */
const withoutMasks = (config: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(config).filter(([, value]) => !masks.includes(value)));

export const createConnectors = (service: ServiceClient): Connectors => ({
  create: (side, given) =>
    withFieldsOf(
      side,
      service.call(putConnection, {
        params: { id: given.id },
        body: {
          env_id: given.envId,
          team_id: given.teamId,
          pipeline_id: given.pipelineId,
          name: given.name,
          type: given.type,
          config: withoutMasks(given.config),
          created_by: given.createdBy,
        },
      }),
    ),
  change: (side, id, envId, change) => withFieldsOf(side, service.call(patchConnection, { params: { id }, body: { env_id: envId, ...change } })),
  get: (id, envId) => service.call(getConnection, { params: { id }, query: { env_id: envId } }),
  byIds: async (ids, envId) => {
    const wanted = [...new Set(ids)];
    if (wanted.length === 0) return new Map();
    const { connections } = await service.call(getConnections, { body: { env_id: envId, ids: wanted } });
    return new Map(connections.map((connection) => [connection.id, connection]));
  },
  remove: async (id, envId) => {
    await service.call(deleteConnection, { params: { id }, query: { env_id: envId } });
  },
  removeAll: async (envId) => {
    await service.call(deleteEnvironmentConnections, { params: { id: envId } });
  },
});
