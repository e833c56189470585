/** The HTTP server of a service: declared routes, health, metrics, request ids, errors. */
import { randomUUID } from 'node:crypto';
import { createServer as createHttpServer, type Server } from 'node:http';
import { TributaryError, asTributaryError } from '@tributary/errors/error';
import type { Health } from '@tributary/runtime/health';
import type { Logger } from '@tributary/runtime/logger';
import type { Registry } from '@tributary/runtime/metrics';
import { newTrace, withTrace } from '@tributary/runtime/trace';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Identify } from './caller.ts';
import { toAnswer } from './errors.ts';
import { answer, type Route } from './route.ts';

export interface ServerOptions {
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: Registry;
}

export const requestIdOf = (response: Response): string => String(response.locals['requestId']);

/** An express app with /livez, /readyz and /metrics, request ids and traces; `finish` adds the 404 and error handlers after the routes. */
export const createApp = (options: ServerOptions): { app: Express; finish: () => void } => {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use((request: Request, response: Response, next: NextFunction) => {
    const given = request.headers['x-request-id'];
    const requestId = typeof given === 'string' && /^[\w.-]{1,128}$/.test(given) ? given : randomUUID();
    response.locals['requestId'] = requestId;
    response.setHeader('X-Request-Id', requestId);
    withTrace(newTrace(request.headers['traceparent']), next);
  });
  app.get('/livez', (_request, response) => void response.json({ status: 'ok' }));
  app.get('/readyz', (_request, response) => {
    const { ready, checks } = options.health.report();
    response.status(ready ? 200 : 503).json({ status: ready ? 'ok' : 'not ready', checks });
  });
  app.get('/metrics', async (_request, response) => {
    response.type(options.metrics.contentType).send(await options.metrics.metrics());
  });
  return {
    app,
    finish: () => {
      app.use((request: Request) => {
        throw new TributaryError('ROUTE_NOT_FOUND', `There is no ${request.method} ${request.path}.`);
      });
      // Express knows an error handler by its four parameters.
      app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
        const requestId = requestIdOf(response);
        const reply = toAnswer(error, requestId);
        if (reply.status >= 500)
          options.log.error(
            { err: error, code: asTributaryError(error).code, request_id: requestId, method: request.method, path: request.path },
            'A request failed',
          );
        if (response.headersSent) return void response.destroy();
        response.status(reply.status).set(reply.headers).json(reply.body);
      });
    },
  };
};

/** Serves `routes`. A path that exists under another method answers 405 with Allow. */
export const createRouteServer = (
  options: ServerOptions & { readonly routes: readonly Route[]; readonly identify: Identify; readonly serviceToken: string; readonly bodyLimit?: string },
): Express => {
  const { app, finish } = createApp(options);
  // The client's address is what the gateway says; services are reached from inside only.
  app.set('trust proxy', ['loopback', 'linklocal', 'uniquelocal']);
  app.use(express.json({ limit: options.bodyLimit ?? '10mb' }), express.urlencoded({ extended: false, limit: '100kb' }));
  const methodsOf = new Map<string, Set<string>>();
  // Fixed paths before those with parameters: `/pipelines/count-status` is not an id.
  const ordered = options.routes.toSorted((a, b) => Number(a.endpoint.path.includes('{')) - Number(b.endpoint.path.includes('{')));
  for (const bound of ordered) {
    const path = expressPath(bound.endpoint.path);
    methodsOf.set(path, (methodsOf.get(path) ?? new Set()).add(bound.endpoint.method));
    const verb = bound.endpoint.method.toLowerCase() as 'get' | 'post' | 'patch' | 'put' | 'delete';
    app[verb](path, async (request: Request, response: Response) => {
      const reply = await answer(bound, request, requestIdOf(response), options);
      response.status(reply.status).set(reply.headers ?? {});
      if (reply.body === undefined) response.end();
      else response.json(reply.body);
    });
  }
  for (const [path, methods] of methodsOf) {
    app.all(path, (request: Request, response: Response) => {
      response.setHeader('Allow', [...methods].join(', '));
      throw new TributaryError(
        'METHOD_NOT_ALLOWED',
        `${request.method} is not possible on ${request.path}; ${[...methods].join(', ')} ${methods.size === 1 ? 'is' : 'are'}.`,
      );
    });
  }
  finish();
  return app;
};

/** `/api/pipelines/{id}` → `/api/pipelines/:id` */
export const expressPath = (path: string): string => path.replace(/\/$/, '').replaceAll(/\{(\w+)\}/g, ':$1');

/** Listens; the promise settles once it accepts connections. `port` 0 picks a free one. */
export const listen = async (app: Express, port: number, host = '0.0.0.0'): Promise<{ server: Server; port: number; close: () => Promise<void> }> => {
  const server = createHttpServer(app);
  server.keepAliveTimeout = 65_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    server,
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
};
