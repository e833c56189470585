import type { CallContext } from '@tributary/connector-sdk/source';
import { connectKafka, type KafkaClient } from '@tributary/kafka/connection';
import type { KafkaTargetConfig } from './config.ts';

type Security = Omit<KafkaTargetConfig, 'bootstrap_server' | 'group_id'>;

/** The caller closes it. */
export const connect = async (servers: string, config: Security, context: CallContext): Promise<KafkaClient> => {
  context.signal.throwIfAborted();
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
  servers: string,
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
