/** The progress line and the closing summary of a sync. */
import { noCounts, type Counts } from '@tributary/contracts/ops';
import { tableText, type Terminal } from './terminal.ts';

const integer = new Intl.NumberFormat('en-US');
export const count = (value: number, one: string, many = `${one}s`): string => `${integer.format(value)} ${value === 1 ? one : many}`;

export const bytesText = (bytes: number): string => {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
};

export const secondsText = (seconds: number): string => {
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return `${hours > 0 ? `${hours} h ` : ''}${minutes} min ${whole % 60} s`;
};

export const minus = (all: Counts, before: Counts): Counts => {
  const names = Object.keys(noCounts) as (keyof Counts)[];
  return Object.fromEntries(names.map((name) => [name, all[name] - before[name]])) as unknown as Counts;
};

/** What is said of rejected and refused rows; empty when there are none. */
export const rejectedText = (counts: Counts): string =>
  [
    ...(counts.rejected > 0 ? [`${integer.format(counts.rejected)} rejected`] : []),
    ...(counts.refused > 0 ? [`${integer.format(counts.refused)} refused by the target`] : []),
  ].join(', ');

const windowMs = 3000;

export interface Progress {
  /** Committed in this run so far. */
  committed(counts: Counts): void;
  /** Records that remain; null: not known. */
  lag(records: number | null): void;
  stop(): void;
}

export const startProgress = (terminal: Terminal): Progress => {
  let counts = noCounts;
  let lag: number | null = null;
  const samples: { at: number; read: number }[] = [{ at: performance.now(), read: 0 }];

  const draw = (): void => {
    const now = performance.now();
    samples.push({ at: now, read: counts.read });
    while (samples.length > 2 && now - (samples[1]?.at ?? now) >= windowMs) samples.shift();
    const first = samples[0] ?? { at: now, read: 0 };
    const rate = now > first.at ? ((counts.read - first.read) * 1000) / (now - first.at) : 0;
    const rejected = rejectedText(counts);
    terminal.progress(
      [
        count(counts.read, 'row'),
        `${integer.format(Math.round(rate))} rows/s`,
        bytesText(counts.bytes),
        ...(lag === null ? [] : [`lag ${integer.format(lag)}`]),
        ...(rejected === '' ? [] : [rejected]),
      ].join(' · '),
    );
  };
  const timer = setInterval(draw, 250);
  return {
    committed: (now) => {
      counts = now;
    },
    lag: (records) => {
      lag = records;
    },
    stop: () => {
      clearInterval(timer);
      terminal.endProgress();
    },
  };
};

export interface RunFacts {
  /** Committed in this run, and since the sync's first run. */
  readonly run: Counts;
  readonly total: Counts;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

/** Records a second over the whole run. */
export const rateOf = ({ run, seconds }: RunFacts): number => (seconds > 0 ? Math.round(run.read / seconds) : 0);

export const summaryText = (facts: RunFacts): string => {
  const { run, total } = facts;
  const resumed = total.read > run.read;
  const rows = (['read', 'mapped', 'filtered', 'rejected', 'written', 'refused'] as const).map((name) => [
    name,
    integer.format(run[name]),
    ...(resumed ? [integer.format(total[name])] : []),
  ]);
  return tableText(
    [
      ['', resumed ? 'this run' : 'rows', ...(resumed ? ['in all'] : [])],
      ...rows,
      ['duration', secondsText(facts.seconds)],
      ['rows/s', integer.format(rateOf(facts))],
      ['data', bytesText(run.bytes)],
      ['CPU', secondsText(facts.cpuSeconds)],
      ['peak memory', bytesText(facts.peakBytes)],
    ],
    1,
  );
};
