import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '@tributary/devstack/ports';
import { buildOnce, versionInPom } from '../build.ts';
import type { Tool } from '../tool.ts';

const sources = fileURLToPath(new URL('../../peers/connect', import.meta.url));

const properties = (settings: Readonly<Record<string, string | number | boolean>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

const bytes = 'org.apache.kafka.connect.converters.ByteArrayConverter';

export const mirrorMaker: Tool = {
  name: 'mirrormaker',
  title: 'MirrorMaker 2 (Kafka Connect)',
  guarantee: 'at least once',
  maps: false,
  note: 'Connect standalone with the MirrorMaker source, two tasks, 5,000 records a poll, linger 10 ms, batches of 128 KiB, 512 MB heap. It says nothing, so it is measured from the first message in the target to the last.',
  prepare: async (folder) => {
    const built = join(folder, 'connect');
    const jars = join(built, 'jars');
    await buildOnce(sources, built, [
      { program: 'mvn', args: ['-q', '-B', 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${jars}`], cwd: sources },
    ]);
    return {
      version: `Kafka Connect ${await versionInPom(sources, 'connect-mirror')}`,
      launch: async ({ brokers, source, target, folder: own }) => {
        const worker = join(own, 'worker.properties');
        const connector = join(own, 'connector.properties');
        const logging = join(own, 'log4j2.yaml');
        await writeFile(
          logging,
          'Configuration:\n  Appenders: { Console: { name: out, target: SYSTEM_OUT, PatternLayout: { pattern: "%d %p %c{1} %m%n" } } }\n  Loggers: { Root: { level: WARN, AppenderRef: [{ ref: out }] } }\n',
        );
        await writeFile(
          worker,
          properties({
            'bootstrap.servers': brokers,
            'key.converter': bytes,
            'value.converter': bytes,
            'offset.storage.file.filename': join(own, 'offsets'),
            'offset.flush.interval.ms': 1000,
            listeners: `http://127.0.0.1:${await freePort()}`,
            'plugin.discovery': 'service_load',
            'producer.acks': 'all',
            'producer.linger.ms': 10,
            'producer.batch.size': 131_072,
          }),
        );
        await writeFile(
          connector,
          properties({
            name: 'mirror',
            'connector.class': 'org.apache.kafka.connect.mirror.MirrorSourceConnector',
            'tasks.max': 2,
            'source.cluster.alias': target,
            'target.cluster.alias': 'here',
            'source.cluster.bootstrap.servers': brokers,
            'target.cluster.bootstrap.servers': brokers,
            topics: source,
            'replication.factor': 1,
            'offset-syncs.topic.replication.factor': 1,
            'sync.topic.configs.enabled': false,
            'sync.topic.acls.enabled': false,
            'refresh.topics.enabled': false,
            'refresh.groups.enabled': false,
            'consumer.auto.offset.reset': 'earliest',
            'consumer.max.poll.records': 5000,
            'key.converter': bytes,
            'value.converter': bytes,
          }),
        );
        return {
          command: 'java',
          args: [
            '-Xms256m',
            '-Xmx512m',
            `-Dlog4j2.configurationFile=file:${logging}`,
            '-cp',
            `${jars}/*`,
            'org.apache.kafka.connect.cli.ConnectStandalone',
            worker,
            connector,
          ],
          signals: 'topic',
          target: `${target}.${source}`,
        };
      },
    };
  },
};
