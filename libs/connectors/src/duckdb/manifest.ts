import { defineConnector } from '@tributary/connector-sdk/manifest';
import { targetConfig } from './config.ts';

export default defineConnector({
  slug: 'duckdb',
  name: 'DuckDB',
  category: 'Files',
  description:
    'Writes tables of a DuckDB database file; rows, rejected rows and checkpoint commit in one transaction. One process at a time can hold the file: ' +
    'all pipelines that write it have to run on the same worker, and other programs can open it only while none of them runs. ' +
    'Decimals without a precision, or beyond 38 digits, are stored as text, since DuckDB has no type that holds them exactly.',
  target: {
    config: targetConfig,
    fence: 'transaction',
    load: async () => (await import('./target.ts')).duckdbTarget,
  },
});
