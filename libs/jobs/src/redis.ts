/** Connections to the Redis that holds the queues. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '@tributary/errors/error';
import type { Logger } from '@tributary/runtime/logger';
import { Redis } from 'ioredis';

export type { Redis };

/** Reconnects for ever; commands wait meanwhile, as BullMQ asks for. */
export const openRedis = (url: string, log: Logger): Redis => {
  const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: (attempt) => Math.min(attempt * 100, 2000) });
  redis.on('error', (error: Error) => log.debug({ reason: error.message }, 'Redis connection trouble'));
  return redis;
};

const answerMs = 500;
const closeMs = 700;

/**
 * Before a stop: gives up connections to a Redis that is away or does not answer, since whatever waits for it would hold up
 * the stop. What waits is refused, and so is everything later.
 */
export const leaveSilentRedis = async (connections: readonly [Redis, ...Redis[]]): Promise<void> => {
  const [first] = connections;
  const answered = first.ping().then(
    () => true,
    () => false,
  );
  if (await Promise.race([answered, sleep(answerMs, false, { ref: false })])) return;
  for (const connection of connections) connection.disconnect();
};

/** What a library does while it closes may wait for Redis; it goes on without us then. */
export const closeBriefly = (close: () => Promise<void>): Promise<void> =>
  Promise.race([close().catch(() => undefined), sleep(closeMs, undefined, { ref: false })]);

/**
 * A queue on a Redis that may evict keys loses jobs without a word.
 * @throws SETTING_INVALID
 */
export const refuseEviction = async (redis: Redis): Promise<void> => {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await redis.info('memory'))?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    throw new TributaryError('SETTING_INVALID', `Redis at REDIS_URL has maxmemory-policy "${policy}" and may drop queued work. Set it to noeviction.`);
  }
};
