import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig, targetConfig } from './config.ts';

export default defineConnector({
  slug: 'redis',
  name: 'Redis',
  category: 'Streams',
  description:
    'Redis 7 and newer, Valkey, and what speaks their protocol; not clusters. As a source: streams, one or all of a pattern, read by entry id without a consumer group; each entry is a row. ' +
    'Hashes are not read: SCAN cannot be resumed exactly. As a target: each table is a stream, or each row a hash; rows and checkpoint are written by one script, all or none of them. ' +
    'How durable they are is the server’s own setting (appendonly, appendfsync, replication), which the connection test reports, and a commit can wait for the disk: after a crash rows and checkpoint are lost together or not at all, ' +
    'and the pipeline reads again what is gone for as long as its source still has it.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: true },
    load: async () => (await import('./source.ts')).redisSource,
  },
  target: {
    config: targetConfig,
    fence: 'transaction',
    load: async () => (await import('./target.ts')).redisTarget,
  },
});
