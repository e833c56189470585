/** What can be done with pipelines: making, changing, starting, pausing and deleting them. */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { TributaryError } from '@tributary/errors/error';
import type { ConnectionView } from '@tributary/contracts/api/internal';
import type { PipelineBody, PipelineChange, PipelineView } from '@tributary/contracts/api/pipelines';
import { nextPipelineState, shownState } from '@tributary/contracts/pipeline-state';
import type { User } from '@tributary/http/caller';
import { isDuplicateKey } from '@tributary/store/duplicate';
import type { PipelineDoc, SubscriptionDoc } from '@tributary/store/pipelines';
import type { Stores } from '../stores.ts';
import type { Teams } from '../tenancy/teams.ts';
import type { Claims } from './claims.ts';
import type { Connectors } from './connectors.ts';
import type { Finder } from './find.ts';
import { changedFlow, checkErrorTarget, flowOf, missingToStart, newFlow, renewedFlow } from './flow.ts';
import { checkMapper } from './mapper-check.ts';
import { applySide, isOtherData, namesOtherData, readSide, type SideRequest } from './sides.ts';
import { deletedEvent, pauseEvent, repeatedOrder, startEvent, writePipeline, type Write } from './write.ts';

export interface Pipelines {
  /** @throws BAD_REQUEST when the team has one of that name, VALIDATION_FAILED, NOT_FOUND, FORBIDDEN */
  create(user: User, envId: string, body: PipelineBody): Promise<PipelineView>;
  /** A change makes a new version; a running pipeline is told to go on with it. */
  update(user: User, envId: string, id: string, change: PipelineChange): Promise<PipelineView>;
  remove(user: User, envId: string, id: string): Promise<void>;
  /** The state as shown. @throws BAD_REQUEST naming what is missing. */
  start(user: User, envId: string, id: string): Promise<'building' | 'live'>;
  pause(user: User, envId: string, id: string): Promise<void>;
  /** A connection was changed elsewhere: every pipeline that uses it gets a new version. Returns how many. */
  connectionChanged(envId: string, connectionId: string, before: Record<string, unknown>, after: Record<string, unknown>): Promise<number>;
}

interface Parts {
  readonly stores: Stores;
  readonly teams: Teams;
  readonly connectors: Connectors;
  readonly claims: Claims;
  readonly finder: Finder;
  /** Called after a write that stored an event. */
  readonly nudge: () => void;
}

const runs = (doc: PipelineDoc): boolean => doc.state === 'building' || doc.state === 'live' || doc.state === 'error';

const nameTaken = (name: string): TributaryError => new TributaryError('BAD_REQUEST', `There is already a pipeline named "${name}" in this team.`);

const madeIds = (requests: readonly SideRequest[]): string[] => requests.flatMap((request) => (request.kind === 'make' ? [request.id] : []));

const checkStartable = (doc: Parameters<typeof missingToStart>[0] & { readonly name: string }): void => {
  const missing = missingToStart(doc);
  if (missing.length > 0)
    throw new TributaryError(
      'BAD_REQUEST',
      `The pipeline "${doc.name}" cannot run without ${missing.join(' and ')}. Add it with PATCH /api/pipelines/${doc._id}.`,
    );
};

/** Subscriptions that start now for the first time take note of it: without backfill theirs is the data from then on. */
const begun = (subscriptions: readonly SubscriptionDoc[]): SubscriptionDoc[] =>
  subscriptions.map((subscription) => ({ ...subscription, started_at: subscription.started_at ?? new Date() }));

/** A running pipeline that goes on with what is changed. */
const restarted = (doc: PipelineDoc, changed: Partial<PipelineDoc>): Write => {
  const subscriptions = begun(changed.subscriptions ?? doc.subscriptions);
  const next = { ...doc, ...changed, subscriptions, generation: doc.generation + 1 };
  return {
    set: { ...changed, subscriptions, generation: next.generation, state: nextPipelineState(doc.state, 'start') ?? doc.state, error: null },
    events: [startEvent(doc, next)],
  };
};

export const createPipelines = ({ stores, teams, connectors, claims, finder, nudge }: Parts): Pipelines => {
  const { pipelines } = stores;

  const checkName = async (teamId: string, name: string): Promise<void> => {
    if ((await pipelines.exists({ team_id: teamId, name })) !== null) throw nameTaken(name);
  };

  /** The pipeline, when the user may change it. */
  const writable = async (user: User, envId: string, id: string): Promise<PipelineDoc> => {
    const doc = await finder.one(envId, id);
    await teams.forWriting(user, envId, doc.team_id);
    return doc;
  };

  const oneView = async (envId: string, doc: PipelineDoc): Promise<PipelineView> => {
    const [view] = await finder.views(envId, [doc]);
    if (view === undefined) throw new TributaryError('INTERNAL', `The pipeline ${doc._id} has no view.`);
    return view;
  };

  const connectionsOf = async (doc: PipelineDoc): Promise<{ source: ConnectionView | null; target: ConnectionView | null }> => {
    const found = await connectors.byIds(
      [doc.source, doc.target].flatMap((side) => (side === null ? [] : [side.connection_id])),
      doc.env_id,
    );
    return { source: found.get(doc.source?.connection_id ?? '') ?? null, target: found.get(doc.target?.connection_id ?? '') ?? null };
  };

  return {
    create: async (user, envId, body) => {
      await teams.forWriting(user, envId, body.team_id);
      await checkName(body.team_id, body.name);
      await checkMapper(body.subscription_mapper_config);
      const now = new Date();
      const doc: PipelineDoc = {
        _id: randomUUID(),
        env_id: envId,
        team_id: body.team_id,
        name: body.name,
        state: 'draft',
        version: 1,
        generation: 0,
        parallelism: body.parallelism ?? 1,
        source: null,
        target: null,
        data_models: [],
        subscriptions: [],
        slots: {},
        error: null,
        announced_at: null,
        created_by: user.userId,
        created_at: now,
        updated_at: now,
        seq: 0,
        outbox: [],
        outbox_pending: false,
        outbox_claim: null,
        deleted: false,
      };
      const flow = changedFlow(newFlow(), body);
      checkErrorTarget(flow, body.existing_target_id ?? null);
      const none = { doc: null, connection: null };
      const source = readSide('source', body, none);
      const target = readSide('target', body, none);
      const made = madeIds([source, target]);
      await claims.note(made, envId);
      try {
        doc.source = (await applySide(connectors, 'source', source, { pipeline: doc, user })).side;
        doc.target = (await applySide(connectors, 'target', target, { pipeline: doc, user })).side;
        await pipelines.create({ ...doc, data_models: [flow.dataModel], subscriptions: [flow.subscription] });
      } catch (error) {
        await claims.settle(made);
        throw isDuplicateKey(error) ? nameTaken(body.name) : error;
      }
      await claims.settle(made);
      return oneView(envId, await finder.one(envId, doc._id));
    },

    update: async (user, envId, id, change) => {
      const before = await writable(user, envId, id);
      if (change.team_id !== undefined && change.team_id !== before.team_id) await teams.forWriting(user, envId, change.team_id);
      const teamId = change.team_id ?? before.team_id;
      const name = change.name ?? before.name;
      if (teamId !== before.team_id || name !== before.name) await checkName(teamId, name);
      await checkMapper(change.subscription_mapper_config);
      const connections = await connectionsOf(before);
      const sourceRequest = readSide('source', change, { doc: before.source, connection: connections.source });
      const targetRequest = readSide('target', change, { doc: before.target, connection: connections.target });
      const targetId = targetRequest.kind === 'keep' ? (before.target?.connection_id ?? null) : targetRequest.id;
      const asked = changedFlow(flowOf(before), change);
      checkErrorTarget(asked, targetId);
      // Before any connection is touched: what is refused has changed nothing.
      if (runs(before)) checkStartable({ ...before, data_models: [asked.dataModel], subscriptions: [asked.subscription] });

      const made = madeIds([sourceRequest, targetRequest]);
      const left = (['source', 'target'] as const).flatMap((side) => {
        const request = side === 'source' ? sourceRequest : targetRequest;
        const current = before[side];
        return current?.owned === true && (request.kind === 'use' || request.kind === 'make') && request.id !== current.connection_id
          ? [current.connection_id]
          : [];
      });
      await claims.note([...made, ...left], envId);
      try {
        const source = await applySide(connectors, 'source', sourceRequest, { pipeline: { ...before, team_id: teamId }, user });
        const target = await applySide(connectors, 'target', targetRequest, { pipeline: { ...before, team_id: teamId }, user });
        const written = await writePipeline(
          stores,
          () => finder.one(envId, id),
          (doc) => {
            if (doc.version !== before.version)
              throw new TributaryError('CONFLICT', `Somebody else changed the pipeline "${doc.name}" at the same time; read it again and retry.`);
            const asked = changedFlow(flowOf(doc), change);
            const otherData = isOtherData(connections.source, source.connection) || asked.dataModel.source_topic !== flowOf(doc).dataModel.source_topic;
            const flow = otherData ? renewedFlow(asked) : asked;
            const next = {
              source: source.side,
              target: target.side,
              parallelism: change.parallelism ?? doc.parallelism,
              data_models: [flow.dataModel],
              subscriptions: [flow.subscription],
            };
            const isOtherRun =
              source.changed || target.changed || Object.entries(next).some(([field, value]) => !isDeepStrictEqual(value, doc[field as keyof typeof next]));
            if (!isOtherRun && name === doc.name && teamId === doc.team_id) return null;
            const version = doc.version + 1;
            const set = { ...next, name, team_id: teamId, version, updated_at: new Date() };
            if (!isOtherRun || !runs(doc)) return { set };
            checkStartable({ ...doc, ...set });
            return restarted(doc, set);
          },
        );
        await claims.settle([...made, ...left]);
        nudge();
        return await oneView(envId, written);
      } catch (error) {
        await claims.settle([...made, ...left]);
        throw isDuplicateKey(error) ? nameTaken(name) : error;
      }
    },

    remove: async (user, envId, id) => {
      const doc = await writable(user, envId, id);
      const owned = [doc.source, doc.target].flatMap((side) => (side?.owned === true ? [side.connection_id] : []));
      await claims.note(owned, envId);
      await writePipeline(
        stores,
        () => finder.one(envId, id),
        (current) => {
          const generation = current.generation + 1;
          // The tombstone gives the name free.
          return { set: { deleted: true, name: id, generation, updated_at: new Date() }, events: [deletedEvent(current, generation)] };
        },
      );
      nudge();
      await claims.settle(owned);
    },

    start: async (user, envId, id) => {
      await writable(user, envId, id);
      const written = await writePipeline(
        stores,
        () => finder.one(envId, id),
        (doc) => {
          checkStartable(doc);
          if (doc.state === 'live') return null;
          // Whoever asks again may well do so because nothing came of it.
          if (doc.state === 'building') return repeatedOrder(doc);
          const generation = doc.generation + 1;
          const state = nextPipelineState(doc.state, 'start') ?? doc.state;
          return {
            set: { state, generation, subscriptions: begun(doc.subscriptions), error: null, updated_at: new Date() },
            events: [startEvent(doc, { ...doc, generation })],
          };
        },
      );
      nudge();
      return shownState(written.state) === 'live' ? 'live' : 'building';
    },

    pause: async (user, envId, id) => {
      await writable(user, envId, id);
      await writePipeline(
        stores,
        () => finder.one(envId, id),
        (doc) => {
          const state = nextPipelineState(doc.state, 'pause');
          if (state === null) throw new TributaryError('BAD_REQUEST', `The pipeline "${doc.name}" was never started, so it cannot be paused.`);
          if (state === doc.state) return null;
          const generation = doc.generation + 1;
          return { set: { state, generation, error: null, updated_at: new Date() }, events: [pauseEvent(doc, { ...doc, generation })] };
        },
      );
      nudge();
    },

    connectionChanged: async (envId, connectionId, before, after) => {
      const uses = await finder.usesOf(envId, connectionId);
      for (const { _id } of uses) {
        await writePipeline(
          stores,
          () => finder.one(envId, _id),
          (doc) => {
            const isSource = doc.source?.connection_id === connectionId;
            if (!isSource && doc.target?.connection_id !== connectionId) return null;
            const flow = isSource && namesOtherData(before, after) ? renewedFlow(flowOf(doc)) : flowOf(doc);
            const set = { data_models: [flow.dataModel], subscriptions: [flow.subscription], version: doc.version + 1, updated_at: new Date() };
            return runs(doc) ? restarted(doc, set) : { set };
          },
        );
      }
      nudge();
      return uses.length;
    },
  };
};
