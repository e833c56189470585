import { asTributaryError } from '@tributary/errors/error';
import type { checkCredentials } from '@tributary/contracts/api/connector-types';
import type { CheckStep } from '@tributary/connector-sdk/source';
import { route, type Route } from '@tributary/http/route';
import type { Logger } from '@tributary/runtime/logger';
import { trialConfig, withinLimit } from '../../connections/trial.ts';

const failedStep = (error: unknown): CheckStep => {
  const known = asTributaryError(error);
  return { name: 'answer', ok: false, message: `${known.message} ${known.help}`, milliseconds: 0 };
};

export const checkCredentialsRoute = (endpoint: typeof checkCredentials, log: Logger): Route =>
  route(endpoint, async (call) => {
    const { manifest, role, config } = await trialConfig(call.params.type, call.body);
    const connector = await manifest[role]?.load();
    const steps =
      connector === undefined ? [] : await withinLimit(log, (context) => connector.check(config, context)).catch((error: unknown) => [failedStep(error)]);
    const failed = steps.find((step) => !step.ok);
    return { status: 200, body: { is_success: failed === undefined, message: failed?.message ?? steps.at(-1)?.message ?? 'It works.', steps } };
  });
