/** What the server is set to, in as far as rows and checkpoints depend on it. */
import { randomUUID } from 'node:crypto';
import { TributaryError } from '@tributary/errors/error';
import { checkpointsKey } from './checkpoints.ts';
import type { RedisTargetConfig } from './config.ts';
import type { Session } from './connect.ts';
import { claimScript, runScript } from './scripts.ts';

/** @throws CONFIG_INVALID when the server may throw away keys, and with them rows and checkpoints, for want of memory. */
export const refuseEviction = ({ info, place }: Session): void => {
  const policy = info.get('maxmemory_policy') ?? '';
  if (policy.startsWith('allkeys'))
    throw new TributaryError(
      'CONFIG_INVALID',
      `Redis at ${place} has maxmemory-policy "${policy}": it may drop rows and checkpoints without a word. Set it to noeviction.`,
    );
};

/**
 * A sentence about what survives a crash.
 * @throws CONFIG_INVALID when the server evicts keys, or cannot do what the config asks of it.
 */
export const describeDurability = async (session: Session, config: RedisTargetConfig): Promise<string> => {
  const { info, place, redis } = session;
  refuseEviction(session);
  const replicas = `${info.get('connected_slaves') ?? '0'} replicas`;
  if (info.get('aof_enabled') !== '1' && config.wait_for_fsync)
    throw new TributaryError(
      'CONFIG_INVALID',
      `Redis at ${place} has no append-only file to wait for. Set appendonly to yes there, or do not wait for the disk.`,
    );
  if (info.get('aof_enabled') !== '1')
    return `No append-only file: a crash loses what came after the last snapshot, rows and checkpoints together. ${replicas}.`;
  const fsync = await settingOf(redis, 'appendfsync');
  const loses =
    fsync === 'always'
      ? 'a crash loses nothing that was committed'
      : fsync === 'everysec'
        ? 'a crash may lose the last second or two'
        : 'a crash may lose what the system had not yet written';
  return fsync === null
    ? `Append-only file, appendfsync unknown (CONFIG may not be used). ${replicas}.`
    : `Append-only file, appendfsync ${fsync}: ${loses}, rows and checkpoints together. ${replicas}.`;
};

/** Most that a commit waits for the disk. */
const fsyncMs = 30_000;

/** @throws TARGET_FAILED when what this connection wrote is not on the server's disk in time; it is committed all the same. */
export const waitForFsync = async ({ redis, place }: Session): Promise<void> => {
  const [synced] = (await redis.call('WAITAOF', 1, 0, fsyncMs)) as number[];
  if (synced !== 1) throw new TributaryError('TARGET_FAILED', `Redis at ${place} did not write its append-only file to disk within ${fsyncMs / 1_000} s.`);
};

/** null where this user, or anybody, may not ask. */
const settingOf = async (redis: Session['redis'], name: string): Promise<string | null> => {
  try {
    const [, value] = (await redis.call('CONFIG', 'GET', name)) as string[];
    return value ?? null;
  } catch {
    return null;
  }
};

/** Claims a slot that nobody has, and removes it again. */
export const tryToWrite = async ({ redis }: Session, config: RedisTargetConfig): Promise<string> => {
  const key = checkpointsKey(config.key_prefix, `check-${randomUUID()}`);
  await runScript(redis, claimScript, [key], [1, '1-0', 1, 'check']);
  await redis.del(key);
  return `May run scripts and write keys that begin with "${config.key_prefix}".`;
};
