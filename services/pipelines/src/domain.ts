/** Puts the service's parts together. */
import type { ServiceClient } from '@tributary/http/service-client';
import type { Logger } from '@tributary/runtime/logger';
import { createAudit } from './audit/audit.ts';
import { createAccounts } from './identity/accounts.ts';
import { createSessions } from './identity/sessions.ts';
import { createSignedTokens } from './identity/signed-tokens.ts';
import { createClaims, type Claims } from './pipelines/claims.ts';
import { createConnectors } from './pipelines/connectors.ts';
import { createFinder } from './pipelines/find.ts';
import { createPipelines } from './pipelines/pipelines.ts';
import { createRunningPipelines } from './pipelines/running.ts';
import type { Domain } from './routes/routes.ts';
import type { Stores } from './stores.ts';
import { createEnvironments } from './tenancy/environments.ts';
import { createTeams } from './tenancy/teams.ts';

export interface DomainOptions {
  readonly stores: Stores;
  readonly connectorsService: ServiceClient;
  readonly jwtSecret: string;
  readonly tokenLifetimeSeconds: number;
  readonly log: Logger;
  /** Called after a write that stored an event. */
  readonly nudge: () => void;
}

export const createDomain = ({
  stores,
  connectorsService,
  jwtSecret,
  tokenLifetimeSeconds,
  log,
  nudge,
}: DomainOptions): Domain & { readonly claims: Claims } => {
  const connectors = createConnectors(connectorsService);
  const environments = createEnvironments(stores, connectors.removeAll);
  const teams = createTeams(stores, environments);
  const finder = createFinder(stores, teams, connectors);
  const claims = createClaims(stores, connectors, log);
  return {
    accounts: createAccounts(stores),
    sessions: createSessions(stores, createSignedTokens({ secret: jwtSecret, lifetimeSeconds: tokenLifetimeSeconds })),
    environments,
    teams,
    pipelines: createPipelines({ stores, teams, connectors, claims, finder, nudge }),
    finder,
    running: createRunningPipelines(stores),
    connectors,
    claims,
    audit: createAudit(stores.audit),
  };
};
