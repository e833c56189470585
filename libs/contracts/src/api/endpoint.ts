/** One declaration of an endpoint: validation, routing, OpenAPI and client types all come from it. */
import { z } from 'zod';

export type ServiceName = 'pipelines' | 'connectors';

/**
 * - `public`: no token.
 * - `user`: a bearer token of an active user.
 * - `superuser`: a bearer token of a superuser.
 * - `service`: the platform's own services; never reachable through the gateway unless the reference lists it.
 */
export type EndpointAuth = 'public' | 'user' | 'superuser' | 'service';

type Shape = z.ZodType | undefined;

/** Status → schema of the body; null: no body. */
export type Replies = Readonly<Record<number, z.ZodType | null>>;

export interface Endpoint<Params extends Shape = Shape, Query extends Shape = Shape, Body extends Shape = Shape, R extends Replies = Replies> {
  /** operationId: verb and resource, e.g. `createPipeline`. */
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** `/api/pipelines/{id}`; answers with and without a trailing slash. */
  readonly path: string;
  /** Who answers it; the gateway routes there. */
  readonly service: ServiceName;
  readonly auth: EndpointAuth;
  readonly tag: string;
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** `form`: application/x-www-form-urlencoded. Default `json`. */
  readonly bodyType?: 'json' | 'form';
  readonly replies: R;
  /** Error statuses beyond 401, 422 and 500, which every endpoint has where they apply. */
  readonly errors?: readonly number[];
}

export const defineEndpoint = <
  Params extends Shape = undefined,
  Query extends Shape = undefined,
  Body extends Shape = undefined,
  const R extends Replies = Replies,
>(
  endpoint: Endpoint<Params, Query, Body, R>,
): Endpoint<Params, Query, Body, R> => endpoint;

/** What a successful call answers, over all declared replies. */
export type ReplyBody<R extends Replies> = { [Status in keyof R]: R[Status] extends z.ZodType ? z.output<R[Status]> : undefined }[keyof R];

/** Error answers of the pipelines API: a sentence, or for 422 the list of fields. */
export const errorBody = z
  .object({
    detail: z.union([z.string(), z.array(z.object({ loc: z.array(z.union([z.string(), z.number()])), msg: z.string(), type: z.string() }))]),
    error_code: z.string(),
    help: z.string(),
    request_id: z.string(),
  })
  .meta({ id: 'Error' });

/** Query of every list: `skip/limit` and `page/size` both work. */
export const pageQuery = z.object({
  skip: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(1000).optional(),
  page: z.coerce.number().int().min(1).optional(),
  size: z.coerce.number().int().min(1).max(1000).optional(),
});

/** The answer of every list. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), total: z.number().int(), page: z.number().int(), size: z.number().int(), pages: z.number().int() });

/** Offset, limit and the page numbers to answer with, from either spelling; the default is the first 50. */
export const pageWindow = (query: z.infer<typeof pageQuery>): { skip: number; limit: number; page: number } => {
  const limit = query.size ?? query.limit ?? 50;
  const skip = query.page === undefined ? (query.skip ?? 0) : (query.page - 1) * limit;
  return { skip, limit, page: Math.floor(skip / limit) + 1 };
};

/** Names of things: one line of text. */
export const label = z
  .string()
  .trim()
  .min(1)
  .max(255)
  .refine((text) => !/\p{Cc}/u.test(text), 'must not contain control characters');

export const idParams = z.object({ id: z.string().min(1).max(64) });
