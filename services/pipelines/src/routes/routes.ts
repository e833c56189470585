/** Every route of this service. */
import type { Route } from '@tributary/http/route';
import type { Audit } from '../audit/audit.ts';
import type { Accounts } from '../identity/accounts.ts';
import type { Sessions } from '../identity/sessions.ts';
import type { Connectors } from '../pipelines/connectors.ts';
import type { Finder } from '../pipelines/find.ts';
import type { Pipelines } from '../pipelines/pipelines.ts';
import type { RunningPipelines } from '../pipelines/running.ts';
import type { Environments } from '../tenancy/environments.ts';
import type { Teams } from '../tenancy/teams.ts';
import { loginRoute } from './auth/login.ts';
import { logoutRoute } from './auth/logout.ts';
import { registerRoute } from './auth/register.ts';
import { changePasswordRoute } from './users/change-password.ts';
import { deleteUserRoute } from './users/delete.ts';
import { getUserRoute } from './users/get.ts';
import { listUsersRoute } from './users/list.ts';
import { getMeRoute } from './users/me.ts';
import { serviceAccountTokenRoute } from './users/service-account-token.ts';
import { updateUserRoute } from './users/update.ts';
import { createEnvRoute } from './envs/create.ts';
import { deleteEnvRoute } from './envs/delete.ts';
import { findEnvRoute } from './envs/find.ts';
import { getEnvRoute } from './envs/get.ts';
import { listEnvsRoute } from './envs/list.ts';
import { updateEnvRoute } from './envs/update.ts';
import { addTeamMembersRoute } from './teams/add-members.ts';
import { createTeamRoute } from './teams/create.ts';
import { deleteTeamRoute } from './teams/delete.ts';
import { findTeamRoute } from './teams/find.ts';
import { getTeamRoute } from './teams/get.ts';
import { listTeamMembersRoute } from './teams/list-members.ts';
import { listTeamsRoute } from './teams/list.ts';
import { removeTeamMemberRoute } from './teams/remove-member.ts';
import { updateTeamRoute } from './teams/update.ts';
import { countPipelinesRoute } from './pipelines/count-status.ts';
import { countsRoute } from './pipelines/counts.ts';
import { createPipelineRoute } from './pipelines/create.ts';
import { deletePipelineRoute } from './pipelines/delete.ts';
import { exportPipelineRoute } from './pipelines/export.ts';
import { findPipelineRoute } from './pipelines/find.ts';
import { getPipelineRoute } from './pipelines/get.ts';
import { importPipelineRoute } from './pipelines/import.ts';
import { latencyRoute } from './pipelines/latency.ts';
import { listStatusRoute } from './pipelines/list-status.ts';
import { listPipelinesRoute } from './pipelines/list.ts';
import { pausePipelineRoute } from './pipelines/pause.ts';
import { startPipelineRoute } from './pipelines/start.ts';
import { pipelineStatusRoute } from './pipelines/status.ts';
import { updatePipelineRoute } from './pipelines/update.ts';
import { workerConfigRoute } from './pipelines/worker-config.ts';
import { connectionChangedRoute } from './internal/connection-changed.ts';
import { connectionUsesRoute } from './internal/connection-uses.ts';
import { identityRoute } from './internal/identity.ts';
import { slotSpecRoute } from './internal/slot-spec.ts';
import { processMapperRoute } from './smt/process-mapper.ts';
import { getSubscriptionRoute } from './subscriptions/get.ts';
import { listSubscriptionsRoute } from './subscriptions/list.ts';
import { pauseSubscriptionRoute } from './subscriptions/pause.ts';
import { startSubscriptionRoute } from './subscriptions/start.ts';
import { updateSubscriptionRoute } from './subscriptions/update.ts';
import { getDataModelRoute } from './datamodels/get.ts';
import { listDataModelsRoute } from './datamodels/list.ts';
import { updateErrorTableRoute } from './datamodels/update-error-table.ts';

export interface Domain {
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly environments: Environments;
  readonly teams: Teams;
  readonly pipelines: Pipelines;
  readonly finder: Finder;
  readonly running: RunningPipelines;
  readonly connectors: Connectors;
  readonly audit: Audit;
}

export const allRoutes = ({ accounts, sessions, environments, teams, pipelines, finder, running, connectors, audit }: Domain): Route[] => [
  loginRoute(sessions, audit),
  logoutRoute(sessions, audit),
  registerRoute(accounts, audit),
  changePasswordRoute(sessions, audit),
  deleteUserRoute(accounts, audit),
  getUserRoute(accounts),
  listUsersRoute(accounts),
  getMeRoute(accounts),
  serviceAccountTokenRoute(sessions, audit),
  updateUserRoute(accounts, audit),
  createEnvRoute(environments, audit),
  deleteEnvRoute(environments, audit),
  findEnvRoute(environments),
  getEnvRoute(environments),
  listEnvsRoute(environments),
  updateEnvRoute(environments, audit),
  addTeamMembersRoute(teams, audit),
  createTeamRoute(teams, audit),
  deleteTeamRoute(teams, audit),
  findTeamRoute(teams),
  getTeamRoute(teams),
  listTeamMembersRoute(teams),
  listTeamsRoute(teams),
  removeTeamMemberRoute(teams, audit),
  updateTeamRoute(teams, audit),
  countPipelinesRoute(finder),
  countsRoute(finder),
  createPipelineRoute(pipelines, audit),
  deletePipelineRoute(pipelines, audit),
  exportPipelineRoute(finder, connectors),
  findPipelineRoute(finder),
  getPipelineRoute(finder),
  importPipelineRoute(pipelines, audit),
  latencyRoute(finder),
  listStatusRoute(finder),
  listPipelinesRoute(finder),
  pausePipelineRoute(pipelines, audit),
  startPipelineRoute(pipelines, audit),
  pipelineStatusRoute(finder),
  updatePipelineRoute(pipelines, audit),
  workerConfigRoute(running),
  connectionChangedRoute(pipelines),
  connectionUsesRoute(finder),
  identityRoute(sessions),
  slotSpecRoute(running),
  processMapperRoute(),
  listSubscriptionsRoute(finder),
  getSubscriptionRoute(finder),
  updateSubscriptionRoute(pipelines, finder, audit),
  startSubscriptionRoute(pipelines, finder, audit),
  pauseSubscriptionRoute(pipelines, finder, audit),
  listDataModelsRoute(finder),
  getDataModelRoute(finder),
  updateErrorTableRoute(pipelines, finder, audit),
];
