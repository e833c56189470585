/** Every endpoint there is. What is not in here is not routed and not documented. */
import { authEndpoints } from './auth.ts';
import { connectorEndpoints } from './connectors.ts';
import { connectorTypeEndpoints } from './connector-types.ts';
import { dataModelEndpoints } from './datamodels.ts';
import type { Endpoint } from './endpoint.ts';
import { envEndpoints } from './envs.ts';
import { pipelineEndpoints } from './pipelines.ts';
import { smtEndpoints } from './smt.ts';
import { subscriptionEndpoints } from './subscriptions.ts';
import { teamEndpoints } from './teams.ts';
import { userEndpoints } from './users.ts';

/** What the gateway routes and the OpenAPI document lists. */
export const publicEndpoints: readonly Endpoint[] = [
  ...authEndpoints,
  ...userEndpoints,
  ...envEndpoints,
  ...teamEndpoints,
  ...pipelineEndpoints,
  ...subscriptionEndpoints,
  ...dataModelEndpoints,
  ...smtEndpoints,
  ...connectorEndpoints,
  ...connectorTypeEndpoints,
];
