import type { Watchdog } from './watchdog.ts';

export const serverNames = ['kafka', 'redis', 'mongodb', 'postgres'] as const;
export type ServerName = (typeof serverNames)[number];

/** What each server file needs to prepare its server. */
export interface ServerContext {
  /** Folder of this server alone: its data, log and pid file. */
  readonly folder: string;
  /** Ports by name: the server's own name, and what it asked for besides. */
  readonly port: (name: string) => number;
  readonly log: (line: string) => void;
  readonly watchdog: Watchdog;
  /** Called when it ends without being told to, once it was ready. */
  readonly onCrash: (outcome: string) => void;
}

export interface Server {
  readonly label: string;
  readonly url: string;
  readonly logFile: string;
  readonly start: (signal?: AbortSignal) => Promise<void>;
  readonly stop: () => Promise<void>;
  /** SIGKILL. */
  readonly kill: () => Promise<void>;
}
