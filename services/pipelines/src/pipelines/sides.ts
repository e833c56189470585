/** The source and the target of a pipeline: an existing connection, or one that the pipeline makes and owns. */
import { randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import type { ConnectionView } from '@tributary/contracts/api/internal';
import type { PipelineChange } from '@tributary/contracts/api/pipelines';
import type { User } from '@tributary/http/caller';
import type { PipelineDoc, SideDoc } from '@tributary/store/pipelines';
import type { Connectors, Side } from './connectors.ts';

/** What a request asks for one side, before anything was done. */
export type SideRequest =
  | { readonly kind: 'keep' }
  | { readonly kind: 'use'; readonly id: string }
  | { readonly kind: 'change'; readonly id: string; readonly name?: string; readonly config?: Record<string, unknown> }
  | { readonly kind: 'make'; readonly id: string; readonly name: string; readonly type: string; readonly config: Record<string, unknown> };

/** What came of it. */
export interface SideOutcome {
  readonly side: SideDoc | null;
  readonly changed: boolean;
  /** null where the side was kept: nobody looked. */
  readonly connection: ConnectionView | null;
}

type SideFields = Pick<
  PipelineChange,
  'existing_source_id' | 'source_name' | 'source_type' | 'source_config' | 'existing_target_id' | 'target_name' | 'target_type' | 'target_config'
>;

const fieldError = (side: Side, field: string, msg: string, type: string): { loc: string[]; msg: string; type: string } => ({
  loc: ['body', `${side}_${field}`],
  msg,
  type,
});

const refuse = (side: Side, fields: readonly object[]): TributaryError =>
  new TributaryError('VALIDATION_FAILED', `The ${side} is not valid.`, { details: { fields } });

const hasRole = (type: string, side: Side): boolean => type.toUpperCase().endsWith(`_${side.toUpperCase()}`);

/** @throws VALIDATION_FAILED when a new connection lacks a field or has the type of the other side. */
export const readSide = (side: Side, given: SideFields, current: { readonly doc: SideDoc | null; readonly connection: ConnectionView | null }): SideRequest => {
  const existing = given[`existing_${side}_id`];
  if (existing != null) return existing === current.doc?.connection_id && !current.doc.owned ? { kind: 'keep' } : { kind: 'use', id: existing };
  const name = given[`${side}_name`] ?? undefined;
  const type = given[`${side}_type`] ?? undefined;
  const config = given[`${side}_config`] ?? undefined;
  if (name === undefined && type === undefined && config === undefined) return { kind: 'keep' };
  if (type !== undefined && !hasRole(type, side))
    throw refuse(side, [fieldError(side, 'type', `must be a ${side} type, such as KAFKA_${side.toUpperCase()}`, 'value_error')]);
  const owned = current.doc?.owned === true ? current.connection : null;
  if (owned !== null && (type === undefined || type.toUpperCase() === owned.type)) {
    return { kind: 'change', id: owned.id, ...(name === undefined ? {} : { name }), ...(config === undefined ? {} : { config }) };
  }
  const newName = name ?? owned?.name;
  if (newName === undefined || type === undefined || config === undefined) {
    const missing = Object.entries({ name: newName, type, config }).filter(([, value]) => value === undefined);
    throw refuse(
      side,
      missing.map(([field]) => fieldError(side, field, 'field required', 'value_error.missing')),
    );
  }
  return { kind: 'make', id: randomUUID(), name: newName, type, config };
};

/** Does what was asked at the connectors service. @throws its errors, with fields named as in the request. */
export const applySide = async (
  connectors: Connectors,
  side: Side,
  request: SideRequest,
  about: { readonly pipeline: Pick<PipelineDoc, '_id' | 'env_id' | 'team_id' | Side>; readonly user: User },
): Promise<SideOutcome> => {
  const { pipeline, user } = about;
  switch (request.kind) {
    case 'keep':
      return { side: pipeline[side], changed: false, connection: null };
    case 'use': {
      const connection = await connectors.get(request.id, pipeline.env_id);
      if (!hasRole(connection.type, side))
        throw refuse(side, [{ loc: ['body', `existing_${side}_id`], msg: `is a ${connection.type}, not a ${side}`, type: 'value_error' }]);
      if (connection.team_id !== null && !(connection.team_id in user.teams) && !user.isSuperuser) {
        throw new TributaryError('FORBIDDEN', `The connector "${connection.name}" belongs to a team that you are not a member of.`);
      }
      return { side: { connection_id: connection.id, owned: false }, changed: true, connection };
    }
    case 'change': {
      const connection = await connectors.change(side, request.id, pipeline.env_id, request);
      return { side: pipeline[side], changed: true, connection };
    }
    case 'make': {
      const connection = await connectors.create(side, {
        id: request.id,
        envId: pipeline.env_id,
        teamId: pipeline.team_id,
        pipelineId: pipeline._id,
        name: request.name,
        type: request.type,
        config: request.config,
        createdBy: user.userId,
      });
      return { side: { connection_id: connection.id, owned: true }, changed: true, connection };
    }
  }
};

/** Fields of a source's configuration that say which data it is, rather than how it is reached. */
const identityFields = [
  'topic',
  'topics',
  'database',
  'schema',
  'table',
  'tables',
  'query',
  'stream',
  'path',
  'paths',
  'pattern',
  'bucket',
  'prefix',
  'url',
] as const;

/** Does the new config name other data? */
export const namesOtherData = (before: Record<string, unknown>, after: Record<string, unknown>): boolean =>
  identityFields.some((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));

/** Is it other data than before? Then a checkpoint of the old data says nothing about the new. */
export const isOtherData = (before: ConnectionView | null, after: ConnectionView | null): boolean =>
  before !== null && after !== null && (before.id !== after.id || namesOtherData(before.config, after.config));
