/** A word to all workers that something changed, so that they look at once instead of at their next turn. Lost nudges cost a second or two. */
import type { Redis } from '@tributary/jobs/redis';

export interface Nudges {
  send(): void;
  close(): Promise<void>;
}

/** `subscriber` is a connection of its own; it belongs to this from now on. */
export const openNudges = async (options: {
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly namespace: string;
  readonly onNudge: () => void;
}): Promise<Nudges> => {
  const { redis, subscriber, onNudge } = options;
  const channel = `${options.namespace}:slots`;
  subscriber.on('message', onNudge);
  await subscriber.subscribe(channel);
  return {
    send: () => {
      onNudge();
      if (redis.status === 'ready') redis.publish(channel, '').catch(() => undefined);
    },
    close: async () => {
      subscriber.disconnect();
    },
  };
};
