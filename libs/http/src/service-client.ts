/** Calls another service's declared endpoint. */
import { TributaryError, messageOf } from '@tributary/errors/error';
import { codes, type ErrorCode } from '@tributary/errors/codes';
import type { Endpoint, Replies, ReplyBody } from '@tributary/contracts/api/endpoint';
import { currentTrace } from '@tributary/runtime/trace';
import type { z } from 'zod';

type Given<Schema, Key extends string> = Schema extends z.ZodType ? { readonly [K in Key]: z.input<Schema> } : { readonly [K in Key]?: undefined };

export interface ServiceClient {
  /**
   * The body, parsed by the declared reply of its status. The other side's error keeps its code, message and status.
   * @throws SERVICE_UNAVAILABLE when it cannot be reached, TIMEOUT after `timeoutMs` (default 5 s).
   */
  call<P extends z.ZodType | undefined, Q extends z.ZodType | undefined, B extends z.ZodType | undefined, R extends Replies>(
    endpoint: Endpoint<P, Q, B, R>,
    given: Given<P, 'params'> & Given<B, 'body'> & { readonly query?: Record<string, string>; readonly token?: string; readonly timeoutMs?: number },
  ): Promise<ReplyBody<R>>;
}

/** `token` authenticates us as a service; a call may pass a user's token on instead. */
export const createServiceClient = (options: { readonly baseUrl: string; readonly token: string; readonly name: string }): ServiceClient => ({
  call: async (endpoint, given) => {
    const params = (given.params ?? {}) as Record<string, string>;
    const path = endpoint.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
    const query = given.query === undefined ? '' : `?${new URLSearchParams(given.query).toString()}`;
    const trace = currentTrace();
    let response: Response;
    try {
      response = await fetch(`${options.baseUrl}${path}${query}`, {
        method: endpoint.method,
        headers: {
          authorization: `Bearer ${given.token ?? options.token}`,
          ...(trace === null ? {} : { traceparent: trace }),
          ...(given.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
        signal: AbortSignal.timeout(given.timeoutMs ?? 5000),
      });
    } catch (error) {
      if (error instanceof DOMException && error.name === 'TimeoutError')
        throw new TributaryError('TIMEOUT', `The ${options.name} service did not answer in time.`, { cause: error });
      throw new TributaryError('SERVICE_UNAVAILABLE', `The ${options.name} service cannot be reached: ${messageOf(error)}.`, { cause: error });
    }
    const text = await response.text();
    const body = parseJson(text);
    if (response.ok) {
      const parsed = endpoint.replies[response.status]?.safeParse(body);
      if (parsed?.success === false)
        throw new TributaryError('INTERNAL', `The ${options.name} service answered ${endpoint.id} in another shape than declared.`, { cause: parsed.error });
      // The compiler cannot follow the status to its schema: `never` stands for the declared union.
      return parsed?.data as never;
    }
    const answer = body as { detail?: unknown; error_code?: string } | undefined;
    const code: ErrorCode =
      answer?.error_code !== undefined && answer.error_code in codes
        ? (answer.error_code as ErrorCode)
        : response.status >= 500
          ? 'SERVICE_UNAVAILABLE'
          : 'BAD_REQUEST';
    throw new TributaryError(code, typeof answer?.detail === 'string' ? answer.detail : `The ${options.name} service answered ${response.status}.`, {
      status: response.status,
      ...(Array.isArray(answer?.detail) ? { details: { fields: answer.detail } } : {}),
    });
  },
});

/** What is no JSON, such as a proxy's own page, counts as no body. */
const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};
