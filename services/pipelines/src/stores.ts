/** The collections of this service. */
import { auditModel, type AuditDoc } from '@tributary/store/audit';
import type { Connection, Model } from '@tributary/store/connection';
import { connectionClaimsModel, type ConnectionClaimDoc } from '@tributary/store/connection-claims';
import { environmentsModel, type EnvironmentDoc } from '@tributary/store/environments';
import { pipelinesModel, type PipelineDoc } from '@tributary/store/pipelines';
import { teamsModel, type TeamDoc } from '@tributary/store/teams';
import { tokensModel, type TokenDoc } from '@tributary/store/tokens';
import { usersModel, type UserDoc } from '@tributary/store/users';

export interface Stores {
  readonly users: Model<UserDoc>;
  readonly tokens: Model<TokenDoc>;
  readonly environments: Model<EnvironmentDoc>;
  readonly teams: Model<TeamDoc>;
  readonly pipelines: Model<PipelineDoc>;
  readonly claims: Model<ConnectionClaimDoc>;
  readonly audit: Model<AuditDoc>;
}

/** Settles once every index is there: uniqueness rests on them. */
export const openStores = async (connection: Connection): Promise<Stores> => {
  const stores: Stores = {
    users: usersModel(connection),
    tokens: tokensModel(connection),
    environments: environmentsModel(connection),
    teams: teamsModel(connection),
    pipelines: pipelinesModel(connection),
    claims: connectionClaimsModel(connection),
    audit: auditModel(connection),
  };
  await Promise.all(Object.values(stores).map((model: Model<never>) => model.createIndexes()));
  return stores;
};

/** A literal text as a pattern for `{$regex}`. */
export const literal = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
