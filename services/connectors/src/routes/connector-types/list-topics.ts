import { TributaryError } from '@tributary/errors/error';
import type { listTopics } from '@tributary/contracts/api/connector-types';
import { route, type Route } from '@tributary/http/route';
import type { Logger } from '@tributary/runtime/logger';
import { trialConfig, withinLimit } from '../../connections/trial.ts';

export const listTopicsRoute = (endpoint: typeof listTopics, log: Logger): Route =>
  route(endpoint, async (call) => {
    const { manifest, config, role } = await trialConfig(call.params.type, call.body, 'unfinished');
    if (role !== 'source' || manifest.source === undefined) throw new TributaryError('CONNECTOR_TYPE_NOT_FOUND', `${call.params.type} is not a source.`);
    const source = await manifest.source.load();
    const streams = await withinLimit(log, (context) => source.streams(config, context));
    return { status: 200, body: { topics: streams.map((stream) => stream.name) } };
  });
