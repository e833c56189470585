import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig, targetConfig } from './config.ts';

export default defineConnector({
  slug: 'duckdb',
  name: 'DuckDB',
  category: 'Files',
  description:
    'Reads and writes tables of a DuckDB database file; rows, rejected rows and checkpoint commit in one transaction. One process at a time can hold the file: ' +
    'all pipelines that use it have to run on the same worker, and other programs can open it only while none of them writes or is reading. ' +
    'Tables without a primary key are read by rowid, which DuckDB may give out anew after deletes. ' +
    'Decimals without a precision, or beyond 38 digits, are stored as text, since DuckDB has no type that holds them exactly.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: false },
    load: async () => (await import('./source.ts')).duckdbSource,
  },
  target: {
    config: targetConfig,
    fence: 'transaction',
    load: async () => (await import('./target.ts')).duckdbTarget,
  },
});
