/** How a client proves who it is: PLAIN and SCRAM come with kafkajs, OAUTHBEARER is here, others are registered. */
import { TributaryError } from '@tributary/errors/error';
import type { AuthenticationProviderArgs, Mechanism, SASLOptions } from 'kafkajs';

export type SaslMechanism = 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512' | 'GSSAPI' | 'OAUTHBEARER';

export interface SaslSettings {
  readonly saslMechanism?: SaslMechanism | undefined;
  readonly saslUsername?: string | undefined;
  readonly saslPassword?: string | undefined;
  /** OAUTHBEARER: where user name and password, as client id and secret, are exchanged for a token. */
  readonly oauthTokenUrl?: string | undefined;
  /** OAUTHBEARER: gives a token each time a connection authenticates; reuses it while it is valid. */
  readonly oauthTokenProvider?: (() => Promise<string>) | undefined;
}

export type SaslAuthenticationProvider = (settings: SaslSettings) => (exchange: AuthenticationProviderArgs) => { authenticate(): Promise<void> };

const registered = new Map<string, SaslAuthenticationProvider>();

/** Adds a mechanism this package does not carry, such as GSSAPI over a Kerberos library. Call it before connecting. */
export const registerSaslMechanism = (name: string, provider: SaslAuthenticationProvider): void => {
  registered.set(name.toUpperCase(), provider);
};

/** A token by the client credentials grant (RFC 6749, section 4.4), kept until shortly before it expires. */
const clientCredentials = (tokenUrl: string, clientId: string, clientSecret: string): (() => Promise<string>) => {
  let token = '';
  let expiresAt = 0;
  return async () => {
    if (Date.now() < expiresAt) return token;
    const response = await fetch(tokenUrl, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
      },
      body: 'grant_type=client_credentials',
      signal: AbortSignal.timeout(10_000),
    }).catch((error: unknown) => {
      throw new TributaryError('HOST_UNREACHABLE', `The OAuth token endpoint at ${new URL(tokenUrl).host} cannot be reached.`, { cause: error });
    });
    if (!response.ok) {
      throw new TributaryError(
        response.status >= 500 ? 'SERVICE_UNAVAILABLE' : 'CREDENTIALS_REJECTED',
        `The OAuth token endpoint at ${new URL(tokenUrl).host} answered ${response.status}.`,
      );
    }
    const answer: unknown = await response.json();
    if (typeof answer !== 'object' || answer === null || !('access_token' in answer) || typeof answer.access_token !== 'string') {
      throw new TributaryError('CREDENTIALS_REJECTED', `The OAuth token endpoint at ${new URL(tokenUrl).host} answered without an access_token.`);
    }
    const lifetime = 'expires_in' in answer && typeof answer.expires_in === 'number' ? answer.expires_in : 60;
    token = answer.access_token;
    expiresAt = Date.now() + lifetime * 800;
    return token;
  };
};

/**
 * OAUTHBEARER (RFC 7628). kafkajs' own takes the broker's refusal for success: the broker sends it as a challenge, which
 * asks for one more byte before it says that authentication failed.
 */
const oauthBearer =
  (tokenOf: () => Promise<string>) =>
  ({ host, port, saslAuthenticate }: AuthenticationProviderArgs): { authenticate(): Promise<void> } => ({
    authenticate: async () => {
      const token = Buffer.from(`n,,\u0001auth=Bearer ${await tokenOf()}\u0001\u0001`);
      const message = Buffer.allocUnsafe(4 + token.length);
      message.writeInt32BE(token.length);
      token.copy(message, 4);
      await saslAuthenticate<void>({
        request: { encode: () => message },
        response: {
          // The answer in front of which kafkajs puts its length.
          decode: (answer) => {
            if (answer.length > 4) throw new TributaryError('CREDENTIALS_REJECTED', `Broker ${host}:${port} rejected the OAuth token.`);
            return answer;
          },
          parse: () => undefined,
        },
      });
    },
  });

const required = (settings: SaslSettings, mechanism: string): { username: string; password: string } => {
  const { saslUsername: username, saslPassword: password } = settings;
  if (username === undefined || username === '') {
    throw new TributaryError('CONFIG_INVALID', `sasl_username is required with sasl_mechanism ${mechanism}.`);
  }
  if (password === undefined || password === '') {
    throw new TributaryError('CONFIG_INVALID', `sasl_password is required with sasl_mechanism ${mechanism}.`);
  }
  return { username, password };
};

/** kafkajs' `sasl` option for these settings. Throws CONFIG_INVALID or UNSUPPORTED naming the setting. */
export const saslOptions = (settings: SaslSettings): SASLOptions | Mechanism => {
  const mechanism = settings.saslMechanism;
  if (mechanism === undefined) throw new TributaryError('CONFIG_INVALID', 'sasl_mechanism is required with security_protocol SASL_PLAINTEXT and SASL_SSL.');
  const custom = registered.get(mechanism);
  if (custom !== undefined) return { mechanism, authenticationProvider: custom(settings) };
  switch (mechanism) {
    case 'PLAIN':
      return { mechanism: 'plain', ...required(settings, mechanism) };
    case 'SCRAM-SHA-256':
      return { mechanism: 'scram-sha-256', ...required(settings, mechanism) };
    case 'SCRAM-SHA-512':
      return { mechanism: 'scram-sha-512', ...required(settings, mechanism) };
    case 'OAUTHBEARER': {
      if (settings.oauthTokenProvider !== undefined) return { mechanism, authenticationProvider: oauthBearer(settings.oauthTokenProvider) };
      const { username, password } = required(settings, mechanism);
      if (settings.oauthTokenUrl === undefined || settings.oauthTokenUrl === '') {
        throw new TributaryError(
          'CONFIG_INVALID',
          'oauth_token_url is required with sasl_mechanism OAUTHBEARER: it is where sasl_username and sasl_password are exchanged for a token.',
        );
      }
      return { mechanism, authenticationProvider: oauthBearer(clientCredentials(settings.oauthTokenUrl, username, password)) };
    }
    case 'GSSAPI':
      throw new TributaryError(
        'UNSUPPORTED',
        'sasl_mechanism GSSAPI needs a Kerberos library that this installation does not have: register one with registerSaslMechanism("GSSAPI", …), or use SCRAM-SHA-512 on this listener.',
      );
  }
};
