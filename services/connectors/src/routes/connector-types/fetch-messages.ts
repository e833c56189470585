import { TributaryError } from '@tributary/errors/error';
import type { fetchMessages } from '@tributary/contracts/api/connector-types';
import { route, type Route } from '@tributary/http/route';
import type { Logger } from '@tributary/runtime/logger';
import { trialConfig, withinLimit } from '../../connections/trial.ts';
import { jsonSafe } from './json-safe.ts';

export const fetchMessagesRoute = (endpoint: typeof fetchMessages, log: Logger): Route =>
  route(endpoint, async (call) => {
    const { manifest, config, role } = await trialConfig(call.params.type, call.body);
    if (role !== 'source' || manifest.source === undefined) throw new TributaryError('CONNECTOR_TYPE_NOT_FOUND', `${call.params.type} is not a source.`);
    const source = await manifest.source.load();
    const rows = await withinLimit(log, (context) => source.sample(config, { ...context, stream: null, limit: call.query.limit }));
    return { status: 200, body: { messages: rows.map(jsonSafe) } };
  });
