import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig, targetConfig } from './config.ts';

export default defineConnector({
  slug: 'file',
  name: 'Files',
  category: 'Files',
  description:
    'Reads JSON lines and CSV files, plain, gzip or zstd, as they grow and appear. Writes each table as a folder of immutable part files, which count once a manifest in `_manifests` lists them. ' +
    'Files cannot be updated in place: a table with a primary key gets every change appended, with `_tributary_deleted` saying whether it is a delete; the last one of a key is its state.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: true },
    load: async () => (await import('./source.ts')).fileSource,
  },
  target: {
    config: targetConfig,
    fence: 'manifest',
    load: async () => (await import('./target.ts')).fileTarget,
  },
});
