/** W3C trace context (https://www.w3.org/TR/trace-context/) carried along asynchronous calls, through HTTP, Kafka headers and job data. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';

const storage = new AsyncLocalStorage<string>();
const traceparent = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

export const isTraceparent = (text: unknown): text is string =>
  typeof text === 'string' && traceparent.test(text) && !text.startsWith('00-00000000000000000000000000000000');

/** A new trace, or a new span of `parent`'s trace. */
export const newTrace = (parent?: unknown): string =>
  `00-${isTraceparent(parent) ? parent.split('-')[1] : randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;

export const withTrace = <T>(trace: string, run: () => T): T => storage.run(trace, run);

export const currentTrace = (): string | null => storage.getStore() ?? null;
