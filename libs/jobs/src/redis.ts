/** Connections to the Redis that holds the queues. */
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
