import type { CallContext } from '@tributary/connector-sdk/source';
import { TributaryError } from '@tributary/errors/error';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import type { KafkaTargetConfig } from './config.ts';

type Security = Omit<KafkaTargetConfig, 'bootstrap_server' | 'group_id'>;

/** The caller closes it. `servers` is undefined in a configuration that is not finished. */
export const connect = async (servers: string | undefined, config: Security, context: CallContext): Promise<KafkaClient> => {
  context.signal.throwIfAborted();
  if (servers === undefined) throw new TributaryError('CONFIG_INVALID', 'bootstrap_servers is missing: "host:port", separated by commas.');
  const client = await connectKafka({
    brokers: servers.split(','),
    clientId: 'tributary',
    securityProtocol: config.security_protocol,
    saslMechanism: config.sasl_mechanism,
    saslUsername: config.sasl_username,
    saslPassword: config.sasl_password,
    oauthTokenUrl: config.sasl_oauth_url,
    caCert: config.ca_cert,
    cert: config.cert,
    key: config.key,
    log: context.log,
  });
  if (context.signal.aborted) await client.close();
  context.signal.throwIfAborted();
  return client;
};

/** Runs `work` on a connection of its own. */
export const using = async <Result>(
  servers: string | undefined,
  config: Security,
  context: CallContext,
  work: (client: KafkaClient) => Promise<Result>,
): Promise<Result> => {
  const client = await connect(servers, config, context);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
};
