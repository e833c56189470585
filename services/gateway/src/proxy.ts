/** Forwards declared endpoints to the service that answers them, behind a circuit breaker each. */
import { pipeline } from 'node:stream/promises';
import { TributaryError, messageOf } from '@tributary/errors/error';
import type { Endpoint, ServiceName } from '@tributary/contracts/api/endpoint';
import { expressPath, requestIdOf } from '@tributary/http/server';
import { currentTrace } from '@tributary/runtime/trace';
import type { Express, Request, Response } from '@tributary/http/express';
import jwt from 'jsonwebtoken';
import CircuitBreaker from 'opossum';
import { Agent, request as send, type Dispatcher } from 'undici';

export interface ProxyOptions {
  readonly services: Readonly<Record<ServiceName, string>>;
  readonly jwtSecret: string;
  /** Longest wait for a service's first byte, milliseconds. */
  readonly timeoutMs: number;
}

/** Hop-by-hop headers (RFC 9110 §7.6.1) and what the gateway sets itself. */
const notForwarded = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'expect',
  'x-request-id',
  'traceparent',
]);
const resetSeconds = 5;

/** A user's token is refused here when its signature or time is wrong; whether it was revoked, and what it may do, the service decides. */
const checkToken = (endpoint: Endpoint, authorization: string | undefined, secret: string): void => {
  if (endpoint.auth === 'public') return;
  const token = /^Bearer\s+(\S+)$/i.exec(authorization ?? '')?.[1];
  if (token === undefined) throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
  if (endpoint.auth === 'service' || token.split('.').length !== 3) return;
  try {
    jwt.verify(token, secret, { algorithms: ['HS256'] });
  } catch {
    throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
  }
};

const forwardedHeaders = (incoming: Request, requestId: string): Record<string, string | string[]> => {
  const headers: Record<string, string | string[]> = { 'x-request-id': requestId, 'x-forwarded-for': incoming.ip ?? '' };
  for (const [name, value] of Object.entries(incoming.headers)) if (value !== undefined && !notForwarded.has(name)) headers[name] = value;
  const trace = currentTrace();
  if (trace !== null) headers['traceparent'] = trace;
  return headers;
};

/** Mounts one forwarding route per endpoint. Returns what readiness needs and a close. */
export const mountProxy = (
  app: Express,
  endpoints: readonly Endpoint[],
  options: ProxyOptions,
): { readonly close: () => Promise<void>; readonly openBreakers: () => string[] } => {
  const agent = new Agent({ connections: 256, headersTimeout: options.timeoutMs, bodyTimeout: options.timeoutMs });

  const call = async (url: string, incoming: Request, requestId: string): Promise<Dispatcher.ResponseData> =>
    send(url, {
      method: incoming.method,
      headers: forwardedHeaders(incoming, requestId),
      body: incoming.method === 'GET' || incoming.method === 'HEAD' ? null : incoming,
      dispatcher: agent,
    });

  const breakers = Object.fromEntries(
    Object.keys(options.services).map((name) => [
      name,
      new CircuitBreaker(call, {
        name,
        timeout: options.timeoutMs,
        resetTimeout: resetSeconds * 1000,
        errorThresholdPercentage: 50,
        volumeThreshold: 5,
        rollingCountTimeout: 10_000,
      }),
    ]),
  ) as Record<ServiceName, CircuitBreaker<[string, Request, string], Dispatcher.ResponseData>>;

  for (const endpoint of endpoints) {
    const verb = endpoint.method.toLowerCase() as 'get' | 'post' | 'patch' | 'put' | 'delete';
    app[verb](expressPath(endpoint.path), async (incoming: Request, outgoing: Response) => {
      checkToken(endpoint, incoming.headers.authorization, options.jwtSecret);
      let reply: Dispatcher.ResponseData;
      try {
        reply = await breakers[endpoint.service].fire(`${options.services[endpoint.service]}${incoming.originalUrl}`, incoming, requestIdOf(outgoing));
      } catch (error) {
        throw new TributaryError('SERVICE_UNAVAILABLE', `The ${endpoint.service} service cannot be reached at the moment.`, {
          cause: error,
          details: { retryAfterSeconds: resetSeconds, reason: messageOf(error) },
        });
      }
      outgoing.status(reply.statusCode);
      for (const [name, value] of Object.entries(reply.headers)) if (value !== undefined && !notForwarded.has(name)) outgoing.setHeader(name, value);
      // A client that goes away ends the pipeline; the service's side is then closed too.
      await pipeline(reply.body, outgoing).catch(() => outgoing.destroy());
    });
  }

  return {
    close: () => agent.close(),
    openBreakers: () =>
      Object.entries(breakers)
        .filter(([, breaker]) => breaker.opened)
        .map(([name]) => name),
  };
};
