/** What is compared: a program that copies one topic to another. */

export interface CopyJob {
  /** `host:port`, separated by commas. */
  readonly brokers: string;
  readonly source: string;
  /** There already, with the partitions of the source. */
  readonly target: string;
  readonly messages: number;
  /** Of this copy alone. */
  readonly folder: string;
}

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /**
   * `lines`: it prints `ready` when it was given its partitions and `done` when all messages and its position are durable.
   * `topic`: a program that says nothing; its copy begins with the first message in the target and ends with the last.
   */
  readonly signals: 'lines' | 'topic';
  /** Where it writes, when it names its topic itself. */
  readonly target?: string;
}

export interface Tool {
  /** For `--only`, topics and results. */
  readonly name: string;
  readonly title: string;
  /** What its reader can rely on after a crash. */
  readonly guarantee: 'exactly once' | 'at least once';
  /** False: messages stay as they are. Tools of one kind are compared. */
  readonly maps: boolean;
  /** Left out of `--short`: it takes long to build. */
  readonly slowToBuild?: boolean;
  /** Anything a reader of the figures must know about how it was run. */
  readonly note: string;
  /** Builds it where that is needed. @throws when it cannot be had on this machine; the message is published as the reason. */
  prepare(folder: string): Promise<{ readonly version: string; launch(job: CopyJob): Promise<Launch> }>;
}
