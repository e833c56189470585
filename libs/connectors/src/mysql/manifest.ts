import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig, targetConfig } from './config.ts';

export default defineConnector({
  slug: 'mysql',
  name: 'MySQL',
  category: 'Databases',
  description:
    'Tables of MySQL 5.7 and newer and MariaDB 10.4 and newer, kept by InnoDB. As a source: the table is read in order of its primary key, then polled by the cursor column, or, without one, for keys beyond the last (append-only tables); deletes are not seen. As a target: rows are appended, or upserted by key, in one transaction with the checkpoint.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: false },
    load: async () => (await import('./source.ts')).mysqlSource,
  },
  target: {
    config: targetConfig,
    fence: 'transaction',
    load: async () => (await import('./target.ts')).mysqlTarget,
  },
});
