/**
 * The scripts that claim a slot and write a delivery. The server runs each without anything in between, and passes it on to its append-only
 * file and its replicas as one transaction (https://valkey.io/topics/eval-intro/). It takes nothing back, so all that can fail is looked at
 * before the first write: with the `#!lua` line it refuses at the start what it would refuse for want of memory, disk or replicas, and on a cluster.
 *
 * Checkpoints: a hash `<prefix>_tributary_checkpoints:<subscription>` of the fields `<slices>-<slice>:epoch`, `…:token` (of the claim that stands;
 * empty: another layout of the slices took over) and `…:checkpoint` (JSON).
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { isReply } from './server-errors.ts';

export interface Script {
  readonly text: string;
  readonly sha: string;
}

const script = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') });

/**
 * Keys: the checkpoints. Arguments: slices, slot, epoch, token.
 * Gives the fields and values as they were before, or nil when a newer owner has the slot.
 */
export const claimScript = script(`#!lua flags=no-cluster
local slot, epoch = ARGV[2], tonumber(ARGV[3])
local known, token = unpack(redis.call('HMGET', KEYS[1], slot .. ':epoch', slot .. ':token'))
if known and (tonumber(known) > epoch or (tonumber(known) == epoch and token == '')) then return false end
local before = redis.call('HGETALL', KEYS[1])
for at = 1, #before, 2 do
  local slices, what = string.match(before[at], '^(%d+)%-%d+:(%a+)$')
  if what == 'token' and slices ~= ARGV[1] then redis.call('HSET', KEYS[1], before[at], '') end
end
redis.call('HSET', KEYS[1], slot .. ':epoch', ARGV[3], slot .. ':token', ARGV[4])
return before
`);

/**
 * Keys: the checkpoints, then every key that is written. Arguments: slot, epoch, token, checkpoint, longest stream ('' for any), number of the key of the
 * error stream (0: none), what the other keys hold ('stream' or 'hash'), then each write: how ('add', 'rows', 'put' or 'delete'), number of the
 * key, number of fields and values, these. 'rows' adds to a stream and trims it.
 * Gives 'done', 'fenced', or the numbers of the keys that hold something else. Only with 'done' anything was written.
 */
export const deliverScript = script(`#!lua flags=no-cluster
local slot = ARGV[1]
local epoch, token = unpack(redis.call('HMGET', KEYS[1], slot .. ':epoch', slot .. ':token'))
if epoch ~= ARGV[2] or token ~= ARGV[3] then return 'fenced' end
local errors, wrong = tonumber(ARGV[6]), {}
for number = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[number]).ok
  local wanted = number == errors and 'stream' or ARGV[7]
  if kind ~= 'none' and kind ~= wanted then wrong[#wrong + 1] = number end
end
if #wrong > 0 then return wrong end
local at, last, longest = 8, #ARGV, ARGV[5]
while at <= last do
  local how, key, first, final = ARGV[at], KEYS[tonumber(ARGV[at + 1])], at + 3, at + 2 + tonumber(ARGV[at + 2])
  if how == 'rows' and longest ~= '' then
    redis.call('XADD', key, 'MAXLEN', '~', longest, '*', unpack(ARGV, first, final))
  elseif how == 'rows' or how == 'add' then
    redis.call('XADD', key, '*', unpack(ARGV, first, final))
  else
    redis.call('DEL', key)
    if how == 'put' then redis.call('HSET', key, unpack(ARGV, first, final)) end
  end
  at = final + 1
end
redis.call('HSET', KEYS[1], slot .. ':checkpoint', ARGV[4])
return 'done'
`);

/** Sends the text only to a server that does not know it yet. */
export const runScript = async (redis: Redis, { text, sha }: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> => {
  try {
    return await redis.call('EVALSHA', [sha, keys.length, ...keys, ...args]);
  } catch (error) {
    if (!isReply(error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return redis.call('EVAL', [text, keys.length, ...keys, ...args]);
  }
};
