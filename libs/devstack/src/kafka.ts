// One Kafka broker that is its own controller (KRaft), run from jars.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TributaryError, messageOf } from '@tributary/errors/error';
import { connectKafka } from '@tributary/kafka/connection';
import { coordinatorTypes } from '@tributary/kafka/kafkajs-internals';
import { cached, cacheFolder } from './cache.ts';
import { findProgram, findPrograms } from './find-program.ts';
import { prepareSecurity, type KafkaSecure, type KafkaSecurity } from './kafka-security.ts';
import { runCommand } from './run-command.ts';
import { isListening, serverProcess } from './server-process.ts';
import type { Server, ServerContext } from './server.ts';

const privateVersion = '4.3.1';
const oldestJava = 17;

interface KafkaJars {
  readonly folder: string;
  readonly version: string;
}

export interface KafkaServer extends Server {
  /** Where the listeners with authentication are, when they were asked for. */
  readonly secure?: KafkaSecure;
}

/** Ports this server needs besides `kafka`. */
export const kafkaPorts = (secure: boolean): string[] => ['kafka-controller', ...(secure ? ['kafka-sasl-plaintext', 'kafka-sasl-ssl', 'kafka-ssl'] : [])];

export const kafkaServer = async ({ folder, port: portOf, log, watchdog, onCrash }: ServerContext, withSecurity: boolean): Promise<KafkaServer> => {
  const [java, jars] = await Promise.all([findJava(), findJars(log)]);
  const port = portOf('kafka');
  await mkdir(folder, { recursive: true });
  const security = withSecurity ? await prepareSecurity(folder, portOf) : undefined;
  const data = join(folder, 'data');
  const settingsFile = join(folder, 'server.properties');
  const logSettings = join(folder, 'log4j2.yaml');
  await writeFile(settingsFile, properties(brokerSettings(data, port, portOf('kafka-controller'), security)), { mode: 0o600 });
  await writeFile(logSettings, log4j);
  const classes = await classPath(jars);
  const archive = classArchive(java, classes);
  const jvm = [...archive.use(), `-Dlog4j2.configurationFile=file:${logSettings}`, '-Djava.awt.headless=true', '-cp', classes];
  if (!existsSync(data)) await formatStorage(folder, data, settingsFile, java.program, jvm, security);
  const label = `Kafka ${jars.version}`;
  const logFile = join(folder, 'kafka.log');
  const process = serverProcess(
    {
      label,
      command: java.program,
      args: [
        '-server',
        '-Xms256m',
        '-Xmx512m',
        '-XX:+UseG1GC',
        '-XX:MaxGCPauseMillis=20',
        '-XX:MaxDirectMemorySize=256m',
        ...archive.make(),
        ...jvm,
        'kafka.Kafka',
        settingsFile,
      ],
      logFile,
      pidFile: join(folder, 'kafka.pid'),
      mark: `kafka.Kafka ${settingsFile}`,
      // Logged once the broker is registered and its listeners take connections.
      isReady: async (output) => output.includes('Kafka Server started') && (await isListening(port)),
      stopWithinMs: 20_000,
      onCrash,
    },
    watchdog,
  );
  const start = async (signal?: AbortSignal): Promise<void> => {
    await process.start(signal);
    await waitForCoordinators(port);
  };
  const stop = async (): Promise<void> => {
    await process.stop();
    await archive.keep();
  };
  return { label, url: `kafka://127.0.0.1:${port}`, logFile, secure: security?.endpoints, ...process, start, stop };
};

const coordinatorsWithinMs = 30_000;

/**
 * A new broker makes its topics for groups and transactions when it is first asked for their coordinator, and refuses groups
 * until then: the first consumer of a fresh installation would meet an error.
 */
const waitForCoordinators = async (port: number): Promise<void> => {
  const client = await connectKafka({ brokers: [`127.0.0.1:${port}`], clientId: 'tributary-devstack', securityProtocol: 'PLAINTEXT' });
  try {
    const deadline = Date.now() + coordinatorsWithinMs;
    for (const coordinatorType of Object.values(coordinatorTypes)) {
      for (;;) {
        const found = await client.shared.findGroupCoordinator({ groupId: 'tributary-devstack', coordinatorType }).then(
          () => true,
          (error: unknown) => {
            if (Date.now() > deadline) throw error;
            return false;
          },
        );
        if (found) break;
        await delay(50);
      }
    }
  } finally {
    await client.close();
  }
};

interface Java {
  readonly program: string;
  /** All it says about itself. */
  readonly about: string;
}

/**
 * The JVM's archive of loaded classes (JEP 350), which halves the time Kafka takes to start. The first broker of this machine
 * writes it when it stops. It is good for one JVM and class path only, which its name therefore stands for.
 */
const classArchive = ({ program, about }: Java, classes: string): { use: () => string[]; make: () => string[]; keep: () => Promise<void> } => {
  const name = createHash('sha256').update(`${program}\n${about}\n${classes}`).digest('hex').slice(0, 16);
  const file = join(cacheFolder(), `kafka-classes-${name}.jsa`);
  const draft = `${file}.${process.pid}`;
  const there = existsSync(file);
  return {
    use: () => (there ? [`-XX:SharedArchiveFile=${file}`, '-Xshare:auto'] : []),
    make: () => (there ? [] : [`-XX:ArchiveClassesAtExit=${draft}`, '-Xlog:cds=off', '-Xlog:cds+dynamic=off']),
    keep: async () => {
      if (existsSync(draft)) await rename(draft, file);
    },
  };
};

const findJava = async (): Promise<Java> => {
  const home = process.env['JAVA_HOME'];
  const found: string[] = [];
  for (const java of [...(home === undefined ? [] : [join(home, 'bin/java')]), ...findPrograms(['java'])]) {
    if (!existsSync(java)) continue;
    const output = await runCommand('/bin/sh', ['-c', '"$0" -version 2>&1', java], { purpose: `Asking ${java} for its version` }).catch(messageOf);
    const version = /version "(?:1\.)?(\d+)/.exec(output)?.[1];
    if (Number(version) >= oldestJava) return { program: java, about: output };
    found.push(`${java} is version ${version ?? 'unknown'}`);
  }
  throw new TributaryError(
    'SERVER_MISSING',
    `Kafka: needs Java ${oldestJava} or newer, ${found.length > 0 ? `but ${found.join(', ')}` : 'and no java is on PATH'}. Install it (Debian: apt install openjdk-17-jre-headless maven), or give KAFKA_URL.`,
  );
};

/** The jars of an installed Kafka 4 whose scripts are on PATH, else a private copy by Maven. */
const findJars = async (log: (line: string) => void): Promise<KafkaJars> => {
  const script = findProgram(['kafka-server-start.sh', 'kafka-server-start']);
  if (script !== undefined) {
    const folder = join(dirname(dirname(realpathSync(script))), 'libs');
    const names = await readdir(folder).catch(() => []);
    const version = names.map((name) => /^kafka_2\.13-(\d+\.\d+\.\d+)\.jar$/.exec(name)?.[1]).find((each) => each !== undefined);
    if (version !== undefined && Number.parseInt(version, 10) >= 4) return { folder, version };
    log(`Kafka: ${script} is ${version === undefined ? 'no installation with jars beside it' : `version ${version}, older than 4`}; using a private copy`);
  }
  const folder = await cached(`kafka-${privateVersion}`, async (draft) => {
    const maven = findProgram(['mvn']);
    if (maven === undefined) {
      throw new TributaryError(
        'SERVER_MISSING',
        'Kafka: needs Maven to fetch its jars once, and no mvn is on PATH. Install it (Debian: apt install maven), or put kafka-server-start.sh of Kafka 4 on PATH, or give KAFKA_URL.',
      );
    }
    log(`Kafka ${privateVersion}: downloading jars (once, about 60 MB)`);
    const work = await mkdtemp(join(dirname(draft), '.maven-'));
    try {
      await writeFile(join(work, 'pom.xml'), pom);
      const args = [
        '-q',
        '-B',
        '-f',
        join(work, 'pom.xml'),
        `-Dmaven.repo.local=${join(work, 'repository')}`,
        'dependency:copy-dependencies',
        '-DincludeScope=runtime',
        `-DoutputDirectory=${draft}`,
      ];
      await runCommand(maven, args, { purpose: `Kafka ${privateVersion}: downloading jars with Maven` });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
  return { folder, version: privateVersion };
};

const dependency = (group: string, artifact: string, version: string): string =>
  `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>tributary</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
${dependency('org.apache.kafka', 'kafka_2.13', privateVersion)}
${dependency('org.apache.kafka', 'kafka-tools', privateVersion)}
${dependency('org.apache.logging.log4j', 'log4j-slf4j-impl', '2.25.4')}
</dependencies>
</project>
`;

const log4j = `Configuration:
  status: ERROR
  Appenders:
    Console:
      name: out
      target: SYSTEM_OUT
      PatternLayout: { pattern: "%d %p %c{1} %m%n" }
  Loggers:
    Root: { level: WARN, AppenderRef: [{ ref: out }] }
    Logger:
      - { name: kafka.server.KafkaRaftServer, level: INFO }
      - { name: org.apache.kafka.common.config.AbstractConfig, level: ERROR }
`;

const classPath = async ({ folder }: KafkaJars): Promise<string> =>
  (await readdir(folder))
    .filter((name) => name.endsWith('.jar'))
    .sort()
    .map((name) => join(folder, name))
    .join(':');

const brokerSettings = (data: string, port: number, controllerPort: number, security: KafkaSecurity | undefined): Record<string, string | number> => {
  const listeners = [`PLAINTEXT://127.0.0.1:${port}`, ...(security?.listeners ?? [])];
  return {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: [...listeners, `CONTROLLER://127.0.0.1:${controllerPort}`].join(','),
    'advertised.listeners': listeners.join(','),
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': data,
    // A newcomer may just produce.
    'auto.create.topics.enable': 'true',
    'num.partitions': 4,
    'default.replication.factor': 1,
    'min.insync.replicas': 1,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'message.max.bytes': 8_388_608,
    'log.segment.bytes': 134_217_728,
    'num.network.threads': 2,
    'num.io.threads': 2,
    'num.recovery.threads.per.data.dir': 1,
    'background.threads': 2,
    'log.cleaner.threads': 1,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
    // After SIGKILL the broker registers again only when its former session has ended; 9 s by default.
    'broker.session.timeout.ms': 6_000,
    'broker.heartbeat.interval.ms': 1_000,
    ...security?.settings,
  };
};

const properties = (settings: Record<string, string | number>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${String(value).replaceAll('\\', '\\\\')}\n`)
    .join('');

/** Formats beside and renames, so that an interrupted start leaves no half-formatted folder. */
const formatStorage = async (
  folder: string,
  data: string,
  settingsFile: string,
  java: string,
  jvm: readonly string[],
  security: KafkaSecurity | undefined,
): Promise<void> => {
  const draft = await mkdtemp(join(folder, '.data-'));
  try {
    const draftSettings = join(draft, 'format.properties');
    const formatted = join(draft, 'data');
    await mkdir(formatted);
    await writeFile(draftSettings, (await readFile(settingsFile, 'utf8')).replace(`log.dirs=${data}\n`, `log.dirs=${formatted}\n`), { mode: 0o600 });
    const users = (security?.scram ?? []).flatMap((user) => ['--add-scram', user]);
    // Begins with a letter: the tool takes a leading '-' for an option.
    const clusterId = `T${randomBytes(16).toString('base64url').slice(1)}`;
    await runCommand(
      java,
      ['-Xmx128m', '-XX:TieredStopAtLevel=1', ...jvm, 'kafka.tools.StorageTool', 'format', '--cluster-id', clusterId, '--config', draftSettings, ...users],
      {
        purpose: 'Kafka: formatting its storage',
      },
    );
    await rename(formatted, data);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
};
