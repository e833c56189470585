import { defineConnector } from '@tributary/connector-sdk/manifest';
import { sourceConfig, targetConfig } from './config.ts';

export default defineConnector({
  slug: 'kafka',
  name: 'Apache Kafka',
  category: 'Streams',
  description:
    'Topics of Apache Kafka and of what speaks its protocol. As a source: JSON objects become rows, anything else is rejected with its offset; a record without a value is a delete of the object its key holds, or of the key’s bare value where the mapper casts the key columns; only committed records are read. ' +
    'As a target: each table is a topic, created when missing, with the primary key as the record’s key (one column: its text, several: a JSON array), the row as JSON and a delete as a record without a value; rows and checkpoint commit in one transaction.',
  source: {
    config: sourceConfig,
    capabilities: { continuous: true, slices: true },
    load: async () => (await import('./source.ts')).kafkaSource,
  },
  target: {
    config: targetConfig,
    fence: 'producer',
    load: async () => (await import('./target.ts')).kafkaTarget,
  },
});
