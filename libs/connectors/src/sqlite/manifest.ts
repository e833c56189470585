import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig, targetConfig } from './config.ts';

export default defineConnector({
  slug: 'sqlite',
  name: 'SQLite',
  category: 'Files',
  description:
    'Reads and writes tables of an SQLite database file. Rows, rejected rows and checkpoint commit in one transaction (write-ahead log, synced at every commit). ' +
    'Several processes of one machine may use the file at once, one writing at a time; it must not lie on a network drive. ' +
    'Decimals, documents, dates and times are stored as text, since SQLite has no type that holds them exactly; the declared types say which is which. ' +
    'Tables without a key are read by rowid, which VACUUM may change.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: false },
    load: async () => (await import('./source.ts')).sqliteSource,
  },
  target: {
    config: targetConfig,
    fence: 'transaction',
    load: async () => (await import('./target.ts')).sqliteTarget,
  },
});
