/** Percentiles of the time from the source's time stamp to durable in the target, over a window that the caller resets. */

/** Milliseconds from making to commit of the newest record of a batch, which stands for all its records. */
export interface LatencySample {
  readonly milliseconds: number;
  readonly records: number;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface LatencyWindow {
  add(sample: LatencySample): void;
  /** Milliseconds, at most 5 % too high; null when nothing was added. */
  percentiles(): Percentiles | null;
  reset(): void;
}

const growth = Math.log(1.05);
/** Up to about 11 days. */
const buckets = 420;

/** A histogram whose buckets grow by 5 %: adding is one logarithm, whatever the number of records. */
export const createLatencyWindow = (): LatencyWindow => {
  const records = new Float64Array(buckets);
  let total = 0;

  const percentile = (share: number): number => {
    let seen = 0;
    for (let bucket = 0; bucket < buckets; bucket += 1) {
      seen += records[bucket] ?? 0;
      if (seen >= share * total) return bucket === 0 ? 1 : Math.round(Math.exp(bucket * growth));
    }
    return Math.round(Math.exp(buckets * growth));
  };

  return {
    add: ({ milliseconds, records: count }) => {
      // Clocks differ: a record from the future took no time.
      const bucket = milliseconds <= 1 ? 0 : Math.min(buckets - 1, Math.ceil(Math.log(milliseconds) / growth));
      records[bucket] = (records[bucket] ?? 0) + count;
      total += count;
    },
    percentiles: () => (total === 0 ? null : { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) }),
    reset: () => {
      records.fill(0);
      total = 0;
    },
  };
};
