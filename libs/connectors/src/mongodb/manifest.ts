import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig, targetConfig } from './config.ts';

export default defineConnector({
  slug: 'mongodb',
  name: 'MongoDB',
  category: 'Databases',
  description:
    'Collections of MongoDB 5 and newer. As a source: every document in the order of `_id`, then the change stream, which tells of changes made during that read too; deletes are deletes. As a target: documents are added, or replaced by key, in one transaction with the checkpoint. Transactions and change streams need a replica set (one member is enough) or a sharded cluster; a transaction has to end within 60 seconds and a document holds 16 MB at most.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: false },
    load: async () => (await import('./source.ts')).mongodbSource,
  },
  target: {
    config: targetConfig,
    fence: 'transaction',
    load: async () => (await import('./target.ts')).mongodbTarget,
  },
});
