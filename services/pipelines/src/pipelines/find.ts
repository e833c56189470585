/** Reading pipelines. I7: no look-up without the environment. */
import { TributaryError } from '@tributary/errors/error';
import type { PipelineView } from '@tributary/contracts/api/pipelines';
import type { PipelineDoc } from '@tributary/store/pipelines';
import { literal, type Stores } from '../stores.ts';
import type { Teams } from '../tenancy/teams.ts';
import type { Connectors } from './connectors.ts';
import { pipelineView } from './view.ts';

type ShownState = PipelineView['state'];

export interface PipelineFilter {
  readonly state?: ShownState | undefined;
  readonly notDraft?: boolean;
  readonly team_id?: string | undefined;
  readonly search?: string | undefined;
}

export interface Finder {
  /** @throws NOT_FOUND */
  one(envId: string, id: string): Promise<PipelineDoc>;
  byName(envId: string, name: string, teamId?: string): Promise<PipelineDoc>;
  /** The pipeline that holds it. @throws NOT_FOUND */
  byPart(envId: string, part: 'subscription' | 'data model', id: string): Promise<PipelineDoc>;
  list(envId: string, filter: PipelineFilter, window: { readonly skip: number; readonly limit: number }): Promise<{ items: PipelineDoc[]; total: number }>;
  countByState(envId: string, teamId?: string): Promise<Record<ShownState | 'all', number>>;
  usesOf(envId: string, connectionId: string): Promise<PipelineDoc[]>;
  /** With connections and team names looked up. */
  views(envId: string, docs: readonly PipelineDoc[]): Promise<PipelineView[]>;
}

/** Large, and of no interest to an answer. */
const projection = { outbox: 0, outbox_claim: 0 };

const statesShownAs = (state: ShownState): object => (state === 'paused' ? { $in: ['paused', 'stopping'] } : { $eq: state });

const whereOf = (envId: string, filter: PipelineFilter): Record<string, unknown> => ({
  env_id: envId,
  deleted: false,
  ...(filter.state === undefined ? {} : { state: statesShownAs(filter.state) }),
  ...(filter.notDraft === true ? { state: { $ne: 'draft' } } : {}),
  ...(filter.team_id === undefined ? {} : { team_id: filter.team_id }),
  ...(filter.search === undefined ? {} : { name: { $regex: literal(filter.search), $options: 'i' } }),
});

export const createFinder = (stores: Stores, teams: Teams, connectors: Connectors): Finder => {
  const { pipelines } = stores;
  return {
    one: async (envId, id) => {
      const doc = await pipelines.findOne({ _id: id, env_id: envId, deleted: false }, projection).lean<PipelineDoc>();
      if (doc === null) throw new TributaryError('NOT_FOUND', `There is no pipeline ${id} in your environment.`);
      return doc;
    },

    byName: async (envId, name, teamId) => {
      const where = { ...whereOf(envId, { team_id: teamId }), name };
      const doc = await pipelines.findOne(where, projection).sort({ created_at: 1, _id: 1 }).lean<PipelineDoc>();
      if (doc === null) throw new TributaryError('NOT_FOUND', `There is no pipeline named "${name}" in your environment.`);
      return doc;
    },

    byPart: async (envId, part, id) => {
      const where = { env_id: envId, deleted: false, [part === 'subscription' ? 'subscriptions.id' : 'data_models.id']: id };
      const doc = await pipelines.findOne(where, projection).lean<PipelineDoc>();
      if (doc === null) throw new TributaryError('NOT_FOUND', `There is no ${part} ${id} in your environment.`);
      return doc;
    },

    list: async (envId, filter, { skip, limit }) => {
      const where = whereOf(envId, filter);
      const [items, total] = await Promise.all([
        pipelines.find(where, projection).sort({ created_at: -1, _id: 1 }).skip(skip).limit(limit).lean<PipelineDoc[]>(),
        pipelines.countDocuments(where),
      ]);
      return { items, total };
    },

    countByState: async (envId, teamId) => {
      const groups = await pipelines.aggregate<{ _id: PipelineDoc['state']; count: number }>([
        { $match: whereOf(envId, { team_id: teamId }) },
        { $group: { _id: '$state', count: { $sum: 1 } } },
      ]);
      const of = (...states: PipelineDoc['state'][]): number =>
        groups.filter((group) => states.includes(group._id)).reduce((sum, group) => sum + group.count, 0);
      const counts = { draft: of('draft'), building: of('building'), live: of('live'), paused: of('paused', 'stopping'), error: of('error') };
      return { all: groups.reduce((sum, group) => sum + group.count, 0), ...counts };
    },

    usesOf: (envId, connectionId) =>
      pipelines
        .find({ env_id: envId, deleted: false, $or: [{ 'source.connection_id': connectionId }, { 'target.connection_id': connectionId }] }, projection)
        .lean<PipelineDoc[]>(),

    views: async (envId, docs) => {
      const ids = docs.flatMap(({ source, target }) => [source, target].flatMap((side) => (side === null ? [] : [side.connection_id])));
      const [connections, names] = await Promise.all([
        connectors.byIds(ids, envId),
        teams.names(
          envId,
          docs.map((doc) => doc.team_id),
        ),
      ]);
      return docs.map((doc) => pipelineView(doc, connections, names.get(doc.team_id) ?? ''));
    },
  };
};
