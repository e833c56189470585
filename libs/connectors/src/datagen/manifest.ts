import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig } from './config.ts';

export default defineConnector({
  slug: 'datagen',
  name: 'Data generator',
  category: 'Tools',
  description:
    'Makes up rows from a seed, for trying pipelines and for load tests. A row depends on seed and index alone, so it is the same whenever and by whichever slice it is read.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: true },
    load: async () => (await import('./source.ts')).datagenSource,
  },
});
