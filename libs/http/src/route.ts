/** Binds a declared endpoint to its handler: the one place where requests are authenticated and parsed. */
import { timingSafeEqual } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import type { Endpoint, Replies } from '@tributary/contracts/api/endpoint';
import type { Request } from 'express';
import type { z } from 'zod';
import type { Caller, Identify, User } from './caller.ts';

type Parsed<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

type CallerOf<E> = E extends { auth: 'service' } ? { readonly kind: 'service' } : Caller;

export interface Call<Params, Query, Body, Who = Caller> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Who;
  /** The bearer token as sent; only for ending or passing on the session. */
  readonly token: string | null;
  readonly requestId: string;
  readonly ip: string;
}

export interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Route {
  readonly endpoint: Endpoint;
  handle(call: Call<unknown, unknown, unknown>): Promise<Reply>;
}

/** `handler` gets parsed, trusted values and gives a status and a body. */
export const route = <P extends z.ZodType | undefined, Q extends z.ZodType | undefined, B extends z.ZodType | undefined, R extends Replies>(
  endpoint: Endpoint<P, Q, B, R>,
  handler: (call: Call<Parsed<P>, Parsed<Q>, Parsed<B>, CallerOf<typeof endpoint>>) => Promise<Reply>,
): Route => ({ endpoint, handle: handler });

const bearerOf = (request: Request): string | null => {
  const match = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '');
  return match?.[1] ?? null;
};

const sameToken = (given: string, expected: string): boolean => {
  const a = Buffer.from(given);
  const b = Buffer.from(expected);
  return a.length === b.length && timingSafeEqual(a, b);
};

interface Trust {
  readonly identify: Identify;
  readonly serviceToken: string;
}

/** @throws UNAUTHENTICATED, FORBIDDEN, SERVICE_TOKEN_REQUIRED */
const authenticate = async (endpoint: Endpoint, token: string | null, trust: Trust): Promise<Caller> => {
  if (endpoint.auth === 'public') return { kind: 'nobody' };
  if (token === null) throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
  if (endpoint.auth === 'service') {
    if (sameToken(token, trust.serviceToken)) return { kind: 'service' };
    await trust.identify(token);
    throw new TributaryError('SERVICE_TOKEN_REQUIRED', 'This endpoint needs a service token.');
  }
  const user = await trust.identify(token);
  if (endpoint.auth === 'superuser' && !user.isSuperuser) throw new TributaryError('FORBIDDEN', 'Only a superuser may do this.');
  return user;
};

const contentTypes = { json: 'application/json', form: 'application/x-www-form-urlencoded' } as const;

/** @throws MEDIA_TYPE_UNSUPPORTED: what was not read would look like a body without fields. */
const refuseOtherContentType = (endpoint: Endpoint, request: Request): void => {
  if (endpoint.body === undefined) return;
  const expected = contentTypes[endpoint.bodyType ?? 'json'];
  // null: there is no body.
  if (request.headers['content-length'] === '0' || request.is(expected) !== false) return;
  const given = request.headers['content-type'];
  throw new TributaryError(
    'MEDIA_TYPE_UNSUPPORTED',
    `The body is ${given === undefined ? 'of no content type' : `of content type ${given.slice(0, 100)}`}; send it with Content-Type: ${expected}.`,
  );
};

/** Parses one part of the request; the thrown error carries the field list of a 422. */
const parsePart = (where: 'path' | 'query' | 'body', schema: z.ZodType | undefined, value: unknown): unknown => {
  if (schema === undefined) return undefined;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new TributaryError('VALIDATION_FAILED', `The ${where} is not valid.`, { details: { fields: fieldErrors(where, parsed.error) } });
};

export interface FieldError {
  readonly loc: (string | number)[];
  readonly msg: string;
  readonly type: string;
}

/** Zod's issues as the reference shows them: `{loc: ["body", "source_name"], msg, type}`; of each field the first. */
export const fieldErrors = (where: string, error: z.ZodError): FieldError[] => {
  const first = new Map<string, FieldError>();
  for (const one of allFieldErrors(where, error)) if (!first.has(JSON.stringify(one.loc))) first.set(JSON.stringify(one.loc), one);
  return [...first.values()];
};

const allFieldErrors = (where: string, error: z.ZodError): FieldError[] =>
  error.issues.flatMap((issue) => {
    const loc = [where, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ loc: [...loc, key], msg: 'extra fields not permitted', type: 'value_error.extra' }));
    if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) return [{ loc, msg: 'field required', type: 'value_error.missing' }];
    // What a query's text or null became on its way to a number says nothing to who sent it.
    if (issue.code === 'invalid_type' && issue.message.endsWith('received NaN')) return [{ loc, msg: 'must be a number', type: 'type_error' }];
    return [{ loc, msg: issue.message, type: issue.code === 'invalid_type' ? 'type_error' : `value_error.${issue.code}` }];
  });

export const answer = async (boundRoute: Route, request: Request, requestId: string, trust: Trust): Promise<Reply> => {
  const { endpoint } = boundRoute;
  const token = bearerOf(request);
  // Authentication comes first: a stranger learns nothing about what a valid request looks like.
  const caller = await authenticate(endpoint, token, trust);
  refuseOtherContentType(endpoint, request);
  return boundRoute.handle({
    params: parsePart('path', endpoint.params, request.params),
    query: parsePart('query', endpoint.query, request.query),
    body: parsePart('body', endpoint.body, request.body ?? {}),
    caller,
    token,
    requestId,
    ip: request.ip ?? '',
  });
};

/** The user behind a call of an endpoint with auth `user` or `superuser`. */
export const userOf = (call: { readonly caller: Caller }): User => {
  if (call.caller.kind !== 'user') throw new TributaryError('UNAUTHENTICATED', 'Unauthorized');
  return call.caller;
};

/** The caller's active environment. @throws BAD_REQUEST when there is none yet. */
export const envOf = (call: { readonly caller: Caller }): string => {
  const { envId } = userOf(call);
  if (envId === null)
    throw new TributaryError(
      'BAD_REQUEST',
      'You have no active environment. Create one with POST /api/envs/, or switch with PATCH /api/users/{id} and active_env_id.',
    );
  return envId;
};
