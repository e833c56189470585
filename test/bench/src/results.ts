/** `.local/bench/results.jsonl`: one line a copy, and one that closes the run. */
import { appendFile, readFile } from 'node:fs/promises';
import type { Content } from './check.ts';
import type { Measurement } from './measure.ts';
import type { Tool } from './tool.ts';

export interface CopyResult {
  readonly kind: 'copy';
  /** When the run began, ISO 8601; names it. */
  readonly run: string;
  readonly tool: string;
  readonly round: number;
  readonly measured: Measurement;
  readonly content: Content;
}

export type ToolFacts = Pick<Tool, 'name' | 'title' | 'guarantee' | 'maps' | 'note'> & {
  /** null: it could not be had or failed. */
  readonly version: string | null;
  readonly failure: string | null;
};

export interface RunSummary {
  readonly kind: 'run';
  readonly run: string;
  /** All tools, and not the short form: what the page is made from. */
  readonly complete: boolean;
  readonly messages: number;
  readonly bytes: number;
  readonly rounds: number;
  readonly kafka: string;
  readonly machine: { readonly processor: string; readonly cores: number; readonly memoryGigabytes: number; readonly system: string };
  readonly tools: readonly ToolFacts[];
}

export const appendResult = (file: string, result: CopyResult | RunSummary): Promise<void> => appendFile(file, `${JSON.stringify(result)}\n`);

export interface Run {
  readonly summary: RunSummary;
  readonly copies: readonly CopyResult[];
}

/** The newest complete run; null when there is none. */
export const lastCompleteRun = async (file: string): Promise<Run | null> => {
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
  const results = lines.map((line) => JSON.parse(line) as CopyResult | RunSummary);
  const summary = results.findLast((result) => result.kind === 'run' && result.complete);
  if (summary?.kind !== 'run') return null;
  return { summary, copies: results.filter((result) => result.kind === 'copy' && result.run === summary.run).filter((result) => result.kind === 'copy') };
};

export interface Medians extends Measurement {
  readonly tool: ToolFacts;
  readonly copies: number;
  readonly outOfOrder: number;
  /** Least and most of the copies. */
  readonly cpuRange: readonly [number, number];
  readonly rateRange: readonly [number, number];
}

const median = (numbers: readonly number[]): number => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
};

const rangeOf = (numbers: readonly number[]): [number, number] => [Math.min(...numbers), Math.max(...numbers)];

/** One entry a tool that was measured, in the order of the run. */
export const mediansOf = ({ summary, copies }: Run): Medians[] =>
  summary.tools.flatMap((tool) => {
    const own = copies.filter((copy) => copy.tool === tool.name);
    if (own.length === 0) return [];
    const all = (figure: keyof Measurement): number[] => own.map(({ measured }) => measured[figure]);
    return [
      {
        tool,
        copies: own.length,
        outOfOrder: Math.max(...own.map(({ content }) => content.outOfOrder)),
        seconds: median(all('seconds')),
        messagesPerSecond: median(all('messagesPerSecond')),
        cpuMicros: median(all('cpuMicros')),
        brokerCpuMicros: median(all('brokerCpuMicros')),
        peakMegabytes: median(all('peakMegabytes')),
        startSeconds: median(all('startSeconds')),
        startCpuSeconds: median(all('startCpuSeconds')),
        otherLoad: median(all('otherLoad')),
        stolen: median(all('stolen')),
        cpuRange: rangeOf(all('cpuMicros')),
        rateRange: rangeOf(all('messagesPerSecond')),
      },
    ];
  });
