import { findConnector } from '@tributary/contracts/api/connectors';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Connections } from '../../connections/connections.ts';
import { shown } from './shown.ts';

export const findRoute = (connections: Connections): Route =>
  route(findConnector, async (call) => ({ status: 200, body: shown(await connections.byName(call.query.name, envOf(call))) }));
